use pshared::ShmSafe;

#[derive(ShmSafe)]
#[repr(u8)]
enum Level {
    Low,
    High,
}

fn main() {}
