"""A server's address space: walked, shown, made into tags, and compared with what was found before."""
