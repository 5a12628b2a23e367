use pshared::ShmData;

#[derive(ShmData)]
#[repr(u8)]
enum Never {}

fn main() {}
