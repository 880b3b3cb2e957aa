"""What a signature can say: types, annotations, their text, and the conversions between them."""
