package resolver

// stamped: this system gives kernel receive stamps.
const stamped = true
