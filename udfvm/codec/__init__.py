"""Values and columns to bytes and back, and what guests answer, checked."""
