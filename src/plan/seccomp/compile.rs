//! Rules to a program of classic BPF, short on every path and quick to make.
//!
//! The kernel runs the program at each call whose answer it does not know beforehand, and once for each number when the filter is
//! installed, to find those; so what counts is the length of the paths and not that of the whole. Neighbouring numbers with the same fate are
//! one range, and a balanced tree of comparisons leads to the range: some ten instructions for any call.
//!
//! The program is made from its end to its beginning, since jumps lead forward only: what a jump leads to is there already, and how far
//! away it is is known. A conditional jump reaches 255 instructions; for what is further a stepping stone is put behind it.

use anyhow::{Result, ensure};

use crate::plan::seccomp::architecture::{Architecture, X32_BIT};
use crate::plan::seccomp::call::Call;
use crate::plan::seccomp::fate::{Case, Fate, Fates};
use crate::plan::seccomp::{Action, Comparison, Condition, Rules};
use crate::sys::bpf::{
    AND, ANSWER, ARCHITECTURE, AT_LEAST, EQUAL, GREATER, Instruction, LOAD, LONGEST, NUMBER, SKIP, argument, jump,
    plain,
};

/// A call by a table that is not filtered: nothing is known of what it would do.
const FOREIGN: Action = Action::KillProcess;

/// The program for `rules`.
///
/// # Errors
/// It is longer than the kernel takes.
pub fn compile(rules: &Rules) -> Result<Vec<Instruction>> {
    let fates = Fates::of(rules);
    let mut program = Program {
        default: rules.default,
        fates,
        blocks: Vec::new(),
        answers: Vec::new(),
        reversed: Vec::with_capacity(1024),
    };
    program.blocks = vec![None; program.fates.groups.len()];
    // The machine's own calls come last here, which is first in the program: the jumps there are the shortest.
    let native = Architecture::native(rules.machine);
    let mut entry = Target::Answer(FOREIGN.answer());
    for architecture in [Architecture::I386, Architecture::Arm, native] {
        if !rules.architectures.contains(&architecture) && architecture != native {
            continue;
        }
        let ranges = program.ranges(architecture);
        let low = program.tree(&ranges);
        let numbers = if architecture == Architecture::X86_64 {
            let marked = program.marked(rules);
            program.branch(AT_LEAST, X32_BIT, marked, low)
        } else {
            low
        };
        let numbers = program.then(plain(LOAD, NUMBER), numbers);
        entry = program.branch(EQUAL, architecture.audit(), numbers, entry);
    }
    program.then(plain(LOAD, ARCHITECTURE), entry);
    let mut instructions = program.reversed;
    ensure!(
        instructions.len() <= LONGEST,
        "the filter has {} instructions, and the kernel takes {LONGEST}: make the profile shorter",
        instructions.len()
    );
    instructions.reverse();
    Ok(instructions)
}

/// A program that is being made, last instruction first.
struct Program<'r> {
    default: Action,
    fates: Fates<'r>,
    /// Where the cases of a group begin, once they are there.
    blocks: Vec<Option<Target>>,
    /// The last place of each answer.
    answers: Vec<(u32, usize)>,
    reversed: Vec<Instruction>,
}

/// Where a jump leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// To the end, with this answer.
    Answer(u32),
    /// To the instruction at this place in [`Program::reversed`].
    Place(usize),
}

/// Numbers from `first` up to the next range's.
struct Range {
    first: u32,
    fate: Fate,
}

/// Numbers are looked up in a list up to here; the few that are higher are sorted in.
const DENSE: u32 = 600;

impl Program<'_> {
    /// The numbers of a table, from 0 on, in ranges of the same fate.
    fn ranges(&self, architecture: Architecture) -> Vec<Range> {
        let default = Fate::Plain(self.default);
        let first = architecture.bit();
        let mut dense = [default; DENSE as usize];
        let mut sparse = Vec::new();
        for (call, fate) in Call::all().zip(&self.fates.calls) {
            let Some(number) = call.number(architecture) else {
                continue;
            };
            match usize::try_from(number - first)
                .ok()
                .and_then(|index| dense.get_mut(index))
            {
                Some(place) => *place = *fate,
                None => sparse.push((number, *fate)),
            }
        }
        sparse.sort_unstable_by_key(|(number, _)| *number);
        let mut ranges = vec![Range {
            first,
            fate: *dense.first().unwrap_or(&default),
        }];
        let mut add = |first, fate| {
            if ranges.last().is_some_and(|last| last.fate != fate) {
                ranges.push(Range { first, fate });
            }
        };
        for (number, fate) in (first..).zip(dense) {
            add(number, fate);
        }
        let mut next = first + DENSE;
        for (number, fate) in sparse {
            if number > next {
                add(next, default);
            }
            add(number, fate);
            next = number + 1;
        }
        add(next, default);
        ranges
    }

    /// The calls whose number is marked as x32's.
    fn marked(&mut self, rules: &Rules) -> Target {
        if rules.architectures.contains(&Architecture::X32) {
            let ranges = self.ranges(Architecture::X32);
            return self.tree(&ranges);
        }
        // -1 is no call of any table: a tracer puts it in place of one that is not to be made.
        let no_call = Target::Answer(self.default.answer());
        self.branch(EQUAL, u32::MAX, no_call, Target::Answer(FOREIGN.answer()))
    }

    /// Finds the range of a number, which has been loaded and lies in one of `ranges`.
    fn tree(&mut self, ranges: &[Range]) -> Target {
        match ranges {
            [] => Target::Answer(self.default.answer()),
            [range] => self.fate(range.fate),
            // One number among others.
            [before, range, after] if before.fate == after.fate && after.first - range.first == 1 => {
                let others = self.fate(before.fate);
                let one = self.fate(range.fate);
                self.branch(EQUAL, range.first, one, others)
            }
            _ => {
                let (lower, upper) = ranges.split_at(ranges.len() / 2);
                let border = upper.first().map_or(0, |range| range.first);
                let upper = self.tree(upper);
                let lower = self.tree(lower);
                self.branch(AT_LEAST, border, upper, lower)
            }
        }
    }

    fn fate(&mut self, fate: Fate) -> Target {
        match fate {
            Fate::Plain(action) => Target::Answer(action.answer()),
            Fate::Conditional(index) => self.block(index.into()),
        }
    }

    /// The cases of a group. All tables share them: they look at the arguments only.
    fn block(&mut self, index: usize) -> Target {
        if let Some(Some(target)) = self.blocks.get(index) {
            return *target;
        }
        let cases = self.fates.groups.get_mut(index).map(std::mem::take).unwrap_or_default();
        let mut next = Target::Answer(self.default.answer());
        for Case { conditions, action } in cases.iter().rev() {
            let mut holds = Target::Answer(action.answer());
            for condition in conditions.iter().rev() {
                holds = self.condition(*condition, holds, next);
            }
            next = holds;
        }
        if let Some(block) = self.blocks.get_mut(index) {
            *block = Some(next);
        }
        next
    }

    /// Compares an argument, half by half: the machine compares 32 bits.
    fn condition(&mut self, condition: Condition, yes: Target, no: Target) -> Target {
        let (low, high) = (argument(condition.argument), argument(condition.argument) + 4);
        match condition.comparison {
            Comparison::Equal(value) => {
                let lower = self.compare(low, EQUAL, lower(value), yes, no);
                self.compare(high, EQUAL, upper(value), lower, no)
            }
            Comparison::Masked { mask, value } => {
                let lower = self.masked(low, lower(mask), lower(value), yes, no);
                self.masked(high, upper(mask), upper(value), lower, no)
            }
            Comparison::Greater(value) => self.order(condition.argument, GREATER, value, yes, no),
            Comparison::AtLeast(value) => self.order(condition.argument, AT_LEAST, value, yes, no),
            Comparison::NotEqual(value) => self.condition(equal(condition, value), no, yes),
            Comparison::AtMost(value) => self.order(condition.argument, GREATER, value, no, yes),
            Comparison::Less(value) => self.order(condition.argument, AT_LEAST, value, no, yes),
        }
    }

    /// The upper half decides, and where it is equal the lower one.
    fn order(&mut self, index: u8, code: u16, value: u64, yes: Target, no: Target) -> Target {
        let (low, high) = (argument(index), argument(index) + 4);
        let lower = self.compare(low, code, lower(value), yes, no);
        let equal = self.branch(EQUAL, upper(value), lower, no);
        self.compare(high, GREATER, upper(value), yes, equal)
    }

    fn masked(&mut self, place: u32, mask: u32, value: u32, yes: Target, no: Target) -> Target {
        match mask {
            0 => yes,
            u32::MAX => self.compare(place, EQUAL, value, yes, no),
            _ => {
                let compared = self.branch(EQUAL, value & mask, yes, no);
                let kept = self.then(plain(AND, mask), compared);
                self.then(plain(LOAD, place), kept)
            }
        }
    }

    fn compare(&mut self, place: u32, code: u16, value: u32, yes: Target, no: Target) -> Target {
        let compared = self.branch(code, value, yes, no);
        self.then(plain(LOAD, place), compared)
    }

    /// An instruction that goes on at `next`.
    fn then(&mut self, instruction: Instruction, next: Target) -> Target {
        // Where the next instruction is the last one that was made, it is simply behind this one.
        if next != Target::Place(self.reversed.len().wrapping_sub(1)) {
            self.stone(next);
        }
        self.push(instruction)
    }

    /// A comparison with what has been loaded.
    fn branch(&mut self, code: u16, value: u32, yes: Target, no: Target) -> Target {
        if yes == no {
            return yes;
        }
        // Whatever is put down for `no` makes the way to `yes` longer by one.
        let yes = self.reach(yes, FARTHEST - 1);
        let no = self.reach(no, FARTHEST);
        let (jt, jf) = (self.distance(yes), self.distance(no));
        self.push(jump(
            code,
            u8::try_from(jt).unwrap_or(u8::MAX),
            u8::try_from(jf).unwrap_or(u8::MAX),
            value,
        ))
    }

    /// The place of `target`, or of a stepping stone to it, at most `farthest` away from the instruction that comes next.
    fn reach(&mut self, target: Target, farthest: usize) -> usize {
        let place = match target {
            Target::Place(place) => Some(place),
            Target::Answer(answer) => self
                .answers
                .iter()
                .find(|(known, _)| *known == answer)
                .map(|(_, place)| *place),
        };
        match place.filter(|place| self.distance(*place) <= farthest) {
            Some(place) => place,
            None => self.stone(target),
        }
    }

    /// Leads to `target` from here, however far it is.
    fn stone(&mut self, target: Target) -> usize {
        let place = self.reversed.len();
        match target {
            Target::Answer(answer) => {
                self.answers.retain(|(known, _)| *known != answer);
                self.answers.push((answer, place));
                self.push(plain(ANSWER, answer));
            }
            Target::Place(target) => {
                let distance = u32::try_from(self.distance(target)).unwrap_or(u32::MAX);
                self.push(plain(SKIP, distance));
            }
        }
        place
    }

    /// How many instructions lie between the one that comes next and `place`.
    fn distance(&self, place: usize) -> usize {
        self.reversed.len() - place - 1
    }

    fn push(&mut self, instruction: Instruction) -> Target {
        self.reversed.push(instruction);
        Target::Place(self.reversed.len() - 1)
    }
}

/// The longest conditional jump.
const FARTHEST: usize = 255;

fn equal(condition: Condition, value: u64) -> Condition {
    Condition {
        comparison: Comparison::Equal(value),
        ..condition
    }
}

fn lower(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

fn upper(value: u64) -> u32 {
    lower(value >> 32)
}
