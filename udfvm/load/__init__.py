"""What travels into an image: functions, the user code and data they refer to, and the requests
that load them.
"""
