//! What must never be.

use super::Setup;
use super::state::{Hold, IMAGES, Publisher, Row, Stage, State};

/// Blobs in the order of their letters.
pub(super) const LETTERS: [&str; 2] = ["A", "B"];

impl Setup {
    /// What is wrong with a state. The strict part holds for a sound protocol only; of a broken one it would report a cause where the
    /// rest reports the damage.
    pub(super) fn first_violation(&self, state: &State) -> Option<String> {
        if state.name_was_reused {
            return Some("a file got the name of a file that was there before".to_owned());
        }
        let image = (0..IMAGES).find(|image| state.images[*image] && self.damage(state, *image).is_some());
        if let Some(image) = image {
            let damage = self.damage(state, image).unwrap_or_default();
            return Some(format!("image {} needs {damage}", image + 1));
        }
        for (number, holder) in state.holders.iter().enumerate() {
            let vanished = (0..holder.paths.len()).find(|index| {
                holder.paths[*index].is_some_and(|path| file_damage(state, *index, path).is_some())
            });
            if let Some(index) = vanished {
                return Some(format!(
                    "holder {} has opened a file of blob {} that is gone",
                    number + 1,
                    LETTERS[index]
                ));
            }
            if let Some(image) = holder.uses
                && let Some(damage) = self.damage(state, usize::from(image))
            {
                return Some(format!("holder {} uses image {}, which needs {damage}", number + 1, image + 1));
            }
        }
        if self.is_strict { self.strict_violation(state) } else { None }
    }

    /// What an image lacks, for what the medium has not lost by itself.
    fn damage(&self, state: &State, image: usize) -> Option<String> {
        let lacking = self.images[image].iter().find_map(|digest| {
            let index = usize::from(*digest);
            match state.rows[index] {
                Row::Present(incarnation) => {
                    let what = file_damage(state, index, incarnation)?;
                    Some((index, what))
                }
                Row::Damaged(incarnation) if state.lost[index] == Some(incarnation) => None,
                Row::Absent | Row::Deleting(_) | Row::Damaged(_) => {
                    Some((index, "has no row that is present"))
                }
            }
        });
        lacking.map(|(index, what)| format!("blob {}, which {what}", LETTERS[index]))
    }

    /// Whether every blob of an image has its row and its file, whatever the medium has lost.
    pub(super) fn is_intact(&self, state: &State, image: u8) -> bool {
        let mut blobs = self.images[usize::from(image)].iter();
        blobs.all(|digest| {
            let index = usize::from(*digest);
            matches!(state.rows[index], Row::Present(n) if state.files[index][usize::from(n)].is_good())
        })
    }

    fn strict_violation(&self, state: &State) -> Option<String> {
        for (index, row) in state.rows.iter().enumerate() {
            if let Row::Present(incarnation) = row
                && file_damage(state, index, *incarnation).is_some()
            {
                return Some(format!("blob {} has a row that is present and no good file", LETTERS[index]));
            }
        }
        for (place, publisher) in (0_u8..).zip(&state.publishers).take(self.publishers.len()) {
            if let Some(index) = self.broken_intent(state, place, publisher) {
                return Some(format!(
                    "the intent of publisher {} for blob {} does not protect it",
                    place + 1,
                    LETTERS[index]
                ));
            }
        }
        self.drain_problem(state)
    }

    /// A blob that a publisher has announced, has reason to think there, and that is not there.
    fn broken_intent(&self, state: &State, place: u8, publisher: &Publisher) -> Option<usize> {
        let job = self.job(place);
        let announced = (0..publisher.intents.len()).filter(|index| publisher.intents[*index]);
        announced.into_iter().find(|index| {
            let file = |incarnation: u8| state.files[*index][usize::from(incarnation)];
            match publisher.holds[*index] {
                Hold::None => false,
                Hold::Adopts(_) => match state.rows[*index] {
                    Row::Present(named) => file_damage(state, *index, named).is_some(),
                    Row::Damaged(named) => state.lost[*index] != Some(named),
                    Row::Absent | Row::Deleting(_) => true,
                },
                Hold::Owns(incarnation) => {
                    let position = job.iter().position(|digest| usize::from(*digest) == *index);
                    let is_past = position.is_some_and(|position| position < usize::from(publisher.at));
                    let is_written =
                        is_past || matches!(publisher.stage, Stage::SyncDir | Stage::Land | Stage::Commit);
                    is_written && publisher.stage != Stage::Dead && !file(incarnation).is_good()
                }
            }
        })
    }
}

/// What is wrong with a file that should be there, unless the medium has lost it by itself.
fn file_damage(state: &State, index: usize, incarnation: u8) -> Option<&'static str> {
    let file = state.files[index][usize::from(incarnation)];
    if file.is_good() || state.lost[index] == Some(incarnation) {
        return None;
    }
    Some(if file.is_there {
        "has a row that is present and a damaged file"
    } else {
        "has a row that is present and no file"
    })
}
