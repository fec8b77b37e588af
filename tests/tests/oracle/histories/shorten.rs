//! A history in which directors differ, without the steps that it does not take.

use lvs_tests::history::History;

/// Leaves out steps as long as the histories differ. `differ` says of several histories at once whether they do: a
/// virtual machine takes longer to boot than to play them.
///
/// Parts are left out, larger ones first: each by itself, then as many as can be of those that were not needed.
pub(super) fn shorten(
    history: &History,
    mut differ: impl FnMut(&[History]) -> Vec<bool>,
) -> History {
    let mut history = history.clone();
    let mut size = history.steps.len().div_ceil(2);
    while size > 0 {
        let places = history.places();
        let parts: Vec<_> = places.chunks(size).collect();
        let candidates: Vec<_> = parts
            .iter()
            .map(|part| without(&history, &[part]))
            .collect();
        let differing = differ(&candidates);
        let needless = parts.iter().zip(differing).filter(|(_, differs)| *differs);
        let needless: Vec<_> = needless.map(|(part, _)| *part).collect();
        if needless.is_empty() {
            size /= 2;
            continue;
        }
        let candidates: Vec<_> = (1..=needless.len())
            .map(|count| without(&history, &needless[..count]))
            .collect();
        let differing = differ(&candidates);
        let mut found = candidates.into_iter().zip(differing);
        let Some((shorter, _)) = found.rfind(|(_, differs)| *differs) else {
            // It differs now and then only.
            return history;
        };
        println!("{} steps", shorter.steps.len());
        history = shorter;
        size = size.min(history.steps.len());
    }
    history
}

fn without(history: &History, parts: &[&[usize]]) -> History {
    let mut places = history.places();
    places.retain(|place| parts.iter().all(|part| !part.contains(place)));
    history.only(&places)
}

#[test]
fn a_history_is_shortened_to_the_steps_that_it_takes() {
    let history = History::new(1);
    let needed = [3, 57, 200, 201];
    let differ = |candidates: &[History]| {
        let differs = |history: &History| {
            let places = history.places();
            needed.iter().all(|place| places.contains(place))
        };
        candidates.iter().map(differs).collect()
    };
    assert_eq!(shorten(&history, differ).places(), needed);
}
