//! What a node believes about its room, and what it wants of it.
