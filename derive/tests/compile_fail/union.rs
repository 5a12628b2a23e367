use pshared::ShmData;

#[derive(ShmData)]
#[repr(C)]
union Either {
    whole: u32,
    parts: [u8; 4],
}

fn main() {}
