//! Which calls are here, who may come in, and how the house empties.
