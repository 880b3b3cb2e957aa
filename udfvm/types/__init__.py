"""Types of signatures: types, annotations, their text, and the conversions between types."""
