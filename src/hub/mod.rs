//! The signalling server's mind: who is in which room, and who hears what.
