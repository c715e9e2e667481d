//! Calls on several buffers.

#[allow(unsafe_code)]
mod sys;
