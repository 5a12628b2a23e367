use pshared::ShmData;

#[derive(ShmData)]
#[repr(u8)]
enum Shape {
    Point,
    Circle { radius: f64 },
    Square(f64),
    Hexagon {},
}

fn main() {}
