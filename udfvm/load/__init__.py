"""What is shipped into an image: functions, the user code and data that they refer to, and the
requests that load them.
"""
