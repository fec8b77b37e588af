//! Loops: a BPF program repeats something through a helper, so that the verifier follows one turn only.

/// One turn of a loop.
pub trait Step {
    /// Does the turn with this index; false ends the loop.
    fn step(&mut self, index: u32) -> bool;
}

/// A way to repeat steps.
pub trait Walk: Copy {
    /// Steps from 0 to `count`, or until a step returns false.
    fn walk<S: Step>(self, count: u32, steps: &mut S) {
        let mut index = 0;
        while index < count && steps.step(index) {
            index += 1;
        }
    }
}
