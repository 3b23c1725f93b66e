//! No frames in the message of a panic, where a panic aborts: the binaries are stripped and have no tables for unwinding,
//! so that a frame could have no name. The standard library's reader of debug information would be a thirtieth of them.

/// What the standard library asks for the frames: there are none (the unwinder's "end of stack").
///
/// Not unsafe but for its name, which has to be the unwinder's. The types of what it leaves alone are as wide as theirs.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_trace: usize, _argument: usize) -> i32 {
    5
}
