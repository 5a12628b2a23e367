//! What the derives refuse, where the error points and what it says.

#[test]
fn every_refusal_names_the_field_and_the_reason() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
