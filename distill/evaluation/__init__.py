"""How good a student is: bits per byte, agreement with the teacher, and how sure that is."""
