"""Options and help texts of the commands, a module for each kind. The code of a command is imported when it is called."""
