use pshared::ShmData;

#[derive(ShmData)]
enum Level {
    Low,
    High,
}

fn main() {}
