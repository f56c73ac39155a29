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
            if let Some(image) = holder.uses
                && let Some(damage) = self.damage(state, usize::from(image))
            {
                return Some(format!("holder {} uses image {}, which needs {damage}", number + 1, image + 1));
            }
        }
        if self.is_strict { self.strict_violation(state) } else { None }
    }

    /// What an image lacks.
    fn damage(&self, state: &State, image: usize) -> Option<String> {
        let lacking = self.images[image].iter().find_map(|digest| {
            let index = usize::from(*digest);
            let Row::Present(incarnation) = state.rows[index] else {
                return Some((index, "has no row that is present"));
            };
            let file = state.files[index][usize::from(incarnation)];
            match (file.is_there, file.is_damaged) {
                (false, _) => Some((index, "has a row that is present and no file")),
                (true, true) => Some((index, "has a row that is present and a damaged file")),
                (true, false) => None,
            }
        });
        lacking.map(|(index, what)| format!("blob {}, which {what}", LETTERS[index]))
    }

    fn strict_violation(&self, state: &State) -> Option<String> {
        for (index, row) in state.rows.iter().enumerate() {
            if let Row::Present(incarnation) = row
                && !state.files[index][usize::from(*incarnation)].is_good()
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
                Hold::Adopts(incarnation) => {
                    state.rows[*index] != Row::Present(incarnation) || !file(incarnation).is_good()
                }
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
