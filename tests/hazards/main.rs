//! What other libraries do wrong where a program, a peer or the machine misbehaves: one test or more for each such case,
//! which the name begins with. The cases: E7 pid namespaces, U1 and U2 forgotten guards, U3 fork, U4 scribbling peers, U5
//! libc's own robust mutexes beside ours, T1 to T3 time, M1 to M3 memory, B1 an earlier boot.

#[path = "../support/mod.rs"]
mod support;

mod boot;
mod forgotten;
mod forked;
mod namespace;
mod neighbours;
mod pointers;
mod room;
mod scene;
mod scribbled;
mod stepped;
mod timed;
