"""Everything that can start the program: one file for each Lambda, the local stack, the command."""
