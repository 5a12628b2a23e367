#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pshared_fuzz::bodies::condvar(data));
