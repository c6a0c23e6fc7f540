"""What people look at: the terminal table, the pictures and the self-contained page of a family."""
