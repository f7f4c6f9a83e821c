"""Acting: the actor, its loop, and where its policy runs."""
