//! Runs against an array of marks, and who may take how many leaves.

use super::*;
use crate::store::{Lent, Slot};
use proptest::prelude::*;
use std::vec::Vec as StdVec;

fn leaves(count: usize) -> Leaves<'static, u8> {
    Leaves::new(Lent::Owned((0..count).map(|_| Slot::EMPTY).collect()))
}

fn list(runs: &Runs, all: &Leaves<'_, u8>, base: SeqNum) -> StdVec<(u32, u32, u8)> {
    let all_runs = runs.iter_from(all, base);
    all_runs.map(|run| (run.start.since(base), run.end.since(base), run.mark)).collect()
}

/// The runs of an array of marks.
fn runs_of(model: &[Option<u8>]) -> StdVec<(u32, u32, u8)> {
    let mut list: StdVec<(u32, u32, u8)> = StdVec::new();
    for (at, mark) in model.iter().enumerate() {
        let (Ok(at), Some(mark)) = (u32::try_from(at), *mark) else { continue };
        match list.last_mut() {
            Some((_, end, last)) if *end == at && *last == mark => *end = at + 1,
            _ => list.push((at, at + 1, mark)),
        }
    }
    list
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Paint(u32, u32, Option<u8>),
    CutFront(u32),
    FirstGap(u32, u32),
}

const SPAN: u32 = 1200;

fn step() -> impl Strategy<Value = Step> {
    // Most marks are short and many, so that leaves fill and are split.
    let short = (0..SPAN, 1..4_u32).prop_map(|(from, len)| (from, (from + len).min(SPAN)));
    let any = (0..SPAN, 0..SPAN).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let range = prop_oneof![20 => short, 1 => any.clone()];
    prop_oneof![
        200 => (range, prop_oneof![3 => (0..2_u8).prop_map(Some), 1 => Just(None)])
            .prop_map(|((from, to), mark)| Step::Paint(from, to, mark)),
        1 => (0..100_u32).prop_map(Step::CutFront),
        10 => any.prop_map(|(from, to)| Step::FirstGap(from, to)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The runs are those of an array with a mark for each number.
    #[test]
    fn they_are_what_an_array_of_marks_is(
        base in any::<u32>(),
        steps in prop::collection::vec(step(), 1..1500),
    ) {
        let base = SeqNum(base);
        let mut all = leaves(400);
        let mut runs = Runs::new();
        let mut model = std::vec![None; SPAN as usize];
        for step in steps {
            match step {
                Step::Paint(from, to, mark) => {
                    let mut told = StdVec::new();
                    let range = (base.plus(from), base.plus(to));
                    runs.paint(&mut all, range, mark, |start, end, mark| {
                        let at = start.since(base) as usize;
                        told.extend(std::iter::repeat_n(mark, end.since(start) as usize));
                        assert_eq!(told.len() + from as usize, at + end.since(start) as usize);
                    }).unwrap();
                    let changed = &mut model[from as usize..to as usize];
                    prop_assert_eq!(&told[..], &*changed);
                    changed.fill(mark);
                }
                Step::CutFront(to) => {
                    let mut told = StdVec::new();
                    runs.cut_front(&mut all, base.plus(to), |run| {
                        told.push((run.start.since(base), run.end.since(base), run.mark));
                    });
                    prop_assert_eq!(told, runs_of(&model[..to as usize]));
                    model[..to as usize].fill(None);
                }
                Step::FirstGap(from, to) => {
                    let gap = runs.first_gap(&all, base.plus(from), base.plus(to));
                    let start = (from..to).find(|at| model[*at as usize].is_none());
                    let end = start.map(|start| {
                        (start..to).find(|at| model[*at as usize].is_some()).unwrap_or(to)
                    });
                    let expected = start.zip(end).map(|(a, b)| (base.plus(a), base.plus(b)));
                    prop_assert_eq!(gap, expected);
                }
            }
            prop_assert_eq!(list(&runs, &all, base), runs_of(&model));
            let last = runs_of(&model).last().copied();
            let run = runs.last(&all).map(|r| (r.start.since(base), r.end.since(base), r.mark));
            prop_assert_eq!(run, last);
        }
        runs.clear(&mut all);
        prop_assert_eq!(all.used(), 0);
    }
}

/// What is marked takes in all of the first leaf, and the next one is full.
#[test]
fn room_that_went_with_its_leaf_is_there_again() {
    let mut all = leaves(8);
    let mut runs = Runs::new();
    let mut mark = |from: u32, to: u32, mark: u8| {
        runs.paint(&mut all, (SeqNum(from), SeqNum(to)), Some(mark), |_, _, _| {}).unwrap();
        (
            runs.leaves.iter().map(|(_, leaf)| all.leaf(*leaf).len()).collect::<StdVec<_>>(),
            list(&runs, &all, SeqNum(0)),
        )
    };
    let mut at = 100;
    while mark(at, at + 3, 0).0.get(1).is_none_or(|len| *len < 30) {
        at += 4;
    }
    // What is marked inside of a run makes three of it.
    let (lens, all_runs) = mark(at + 1, at + 2, 1);
    assert_eq!(lens.last(), Some(&32));
    let behind_first = all_runs[lens[0]].0;
    let (lens, all_runs) = mark(10, behind_first - 1, 1);
    assert_eq!(lens, [1, 32]);
    assert_eq!((all_runs.len(), all_runs[0]), (33, (10, behind_first - 1, 1)));
}

/// One set takes no more than leaves a first leaf to each of the others, and what finds no room
/// changes nothing.
#[test]
fn nobody_takes_all_leaves() {
    let mut all = leaves(8);
    let mut first = Runs::new();
    let mut at = SeqNum(0);
    while first.paint(&mut all, (at, at.plus(1)), Some(0), |_, _, _| {}).is_ok() {
        at = at.plus(2);
    }
    assert_eq!(all.used(), 4, "half are kept");
    let before = list(&first, &all, SeqNum(0));
    let mut told = 0;
    let again = first.paint(&mut all, (at, at.plus(1)), Some(0), |_, _, _| told += 1);
    assert_eq!((again, told), (Err(Full), 0));
    assert_eq!(list(&first, &all, SeqNum(0)), before);
    let mut others: StdVec<Runs> = (0..4).map(|_| Runs::new()).collect();
    for runs in &mut others {
        runs.paint(&mut all, (at, at.plus(9)), Some(1), |_, _, _| {}).unwrap();
    }
    assert_eq!(Runs::new().paint(&mut all, (at, at.plus(9)), Some(1), |_, _, _| {}), Err(Full));
    // What is there can be unmarked all the same.
    let (low, high) = (SeqNum(0), SeqNum(10));
    first.paint(&mut all, (low, high), None, |_, _, _| {}).unwrap();
    assert_eq!(list(&first, &all, low).len(), before.len() - 5);
}
