"""Where members come from: students of our own, cuts of the teacher, prunings of the teacher; one file each."""
