//! Small hostile pickles, made by hand, and the error that each must end in.

mod assembler;
mod constructors;
mod growth;
mod objects;
mod opcodes;
