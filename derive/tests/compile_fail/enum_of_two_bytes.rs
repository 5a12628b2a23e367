use pshared::ShmData;

#[derive(ShmData)]
#[repr(u16)]
enum Level {
    Low = 0x0001,
    High = 0x0100,
}

fn main() {}
