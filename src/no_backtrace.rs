//! No frames in the message of a panic, where a panic aborts: the binaries are stripped and have no tables for unwinding,
//! so that a frame could have no name. The standard library's reader of debug information would be a thirtieth of lictor.
//!
//! Nothing here is unsafe but the names, which have to be the unwinder's. What is left alone is as wide as theirs.
#![allow(unsafe_code)]

/// What the standard library asks for the frames: there are none (the unwinder's "end of stack").
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_trace: usize, _argument: usize) -> i32 {
    5
}

// What unwinding alone would call. LLVM's unwinder, which the static binaries have, keeps these beside the one above: where
// one is missing, it brings them all, and the one above would be there twice.

#[unsafe(no_mangle)]
extern "C" fn _Unwind_GetIPInfo(_context: usize, _before: usize) -> usize {
    0
}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_GetDataRelBase(_context: usize) -> usize {
    0
}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_GetTextRelBase(_context: usize) -> usize {
    0
}
