//! What can happen in the model, and what must never.

use ksit::domain::claim::next_term;
use ksit::domain::replica::Term;
use stateright::{Model, Property};

use super::state::{Budget, Map, Message, OBJECTS, Object, Process, REPLICAS, Replica, State};
use super::{FENCED, NEVER_FALLS, ONE_CLAIMANT, OWNERS_REPORT};

pub(super) const SECOND_TERM: &str = "a status lands in a second term";
pub(super) const MOVED: &str = "the slot moves away and comes back";
pub(super) const REFUSED: &str = "the fence refuses something";

/// The rule that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Nothing,
    /// No ValidatingAdmissionPolicy.
    Fence,
    /// Nor the root rule on the object.
    FenceAndRule,
    /// The map is written over whatever is there, and of its own rules only that of the term is left.
    ClaimVersion,
    /// Whoever owns the slot now is believed, whenever it looked.
    ReportEpoch,
}

pub(super) struct World {
    pub(super) broken: Broken,
    pub(super) budget: Budget,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A replica that believes to lead sends a claim.
    Claim(u8),
    /// A coordinator gives the slot to the other replica, or to the present process of its owner.
    Move(u8, Process),
    /// A worker sees the newest map.
    Watch(u8),
    Report(u8, usize),
    /// The hub gets a message; the sender hears of it or not.
    Land(Message, bool),
    /// A coordinator gets a report.
    Hear(u8, Message),
    Crash(u8),
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let first = Process { replica: 0, nonce: 0 };
        vec![State {
            maps: vec![Map { term: 1, epoch: 1, claimant: first, owner: first }],
            objects: [(); 2].map(|()| Object::default()),
            replicas: [Replica { reign: vec![1], ..Replica::default() }, Replica::default()],
            network: [].into(),
            budget: self.budget.clone(),
            fell: false,
            former_term_landed: false,
            landed_in_second_term: false,
            not_of_owner: false,
            refused_by_fence: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let Budget { claims, moves, reports, crashes, .. } = state.budget;
        for replica in REPLICAS {
            let Replica { view, reign, .. } = &state.replicas[usize::from(replica)];
            actions.extend((claims > 0).then_some(Action::Claim(replica)));
            actions.extend((crashes > 0).then_some(Action::Crash(replica)));
            actions.extend((*view < state.newest().epoch).then_some(Action::Watch(replica)));
            let newest = reign.last().and_then(|epoch| state.of_epoch(*epoch));
            if let Some(newest) = newest.filter(|_| moves > 0) {
                let owners = REPLICAS.map(|replica| state.process(replica));
                let others = owners.into_iter().filter(|owner| *owner != newest.owner);
                actions.extend(others.map(|owner| Action::Move(replica, owner)));
            }
            let owns = state.of_epoch(*view).is_some_and(|map| map.owner == state.process(replica));
            if reports > 0 && owns {
                actions.extend(OBJECTS.map(|object| Action::Report(replica, object)));
            }
        }
        for message in &state.network {
            if let Message::Report { .. } = message {
                let leading =
                    REPLICAS.into_iter().filter(|replica| !state.replicas[usize::from(*replica)].reign.is_empty());
                actions.extend(leading.map(|replica| Action::Hear(replica, message.clone())));
            } else {
                actions.extend([true, false].map(|heard| Action::Land(message.clone(), heard)));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Claim(replica) => {
                state.budget.claims -= 1;
                let newest = *state.newest();
                let statuses = state.objects.iter().map(|object| Term(object.term));
                let Term(term) = next_term(Some(Term(newest.term)), statuses);
                let sender = state.process(replica);
                let map = Map { term, epoch: newest.epoch + 1, claimant: sender, ..newest };
                state.network.insert(Message::Map { sender, over: newest.epoch, map });
            }
            Action::Move(replica, owner) => {
                state.budget.moves -= 1;
                let over = *state.replicas[usize::from(replica)].reign.last()?;
                let map = Map { epoch: over + 1, owner, ..*state.of_epoch(over)? };
                state.network.insert(Message::Map { sender: state.process(replica), over, map });
            }
            Action::Watch(replica) => state.replicas[usize::from(replica)].view = state.newest().epoch,
            Action::Report(replica, object) => {
                state.budget.reports -= 1;
                let epoch = state.replicas[usize::from(replica)].view;
                state.network.insert(Message::Report { sender: state.process(replica), object, epoch });
            }
            Action::Hear(replica, message) => self.hear(&mut state, replica, &message),
            Action::Land(message, heard) => self.land(&mut state, &message, heard),
            Action::Crash(replica) => {
                state.budget.crashes -= 1;
                let nonce = state.replicas[usize::from(replica)].nonce + 1;
                state.replicas[usize::from(replica)] = Replica { nonce, ..Replica::default() };
            }
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_CLAIMANT, |_, state: &State| {
                state.maps.windows(2).all(|pair| {
                    pair[0].term < pair[1].term || (pair[0].term, pair[0].claimant) == (pair[1].term, pair[1].claimant)
                })
            }),
            Property::always(NEVER_FALLS, |_, state: &State| !state.fell),
            Property::always(FENCED, |_, state: &State| !state.former_term_landed),
            Property::always(OWNERS_REPORT, |_, state: &State| !state.not_of_owner),
            Property::sometimes(SECOND_TERM, |_, state: &State| state.landed_in_second_term),
            Property::sometimes(MOVED, |_, state: &State| {
                let owners: Vec<Process> = state.maps.iter().map(|map| map.owner).collect();
                owners.len() > 2 && owners.first() == owners.last() && owners.iter().any(|owner| *owner != owners[0])
            }),
            Property::sometimes(REFUSED, |_, state: &State| state.refused_by_fence),
        ]
    }
}

impl World {
    /// A report comes to a replica that believes to lead.
    fn hear(&self, state: &mut State, replica: u8, message: &Message) {
        let Message::Report { sender, object, epoch } = *message else { return };
        let reign = &state.replicas[usize::from(replica)].reign;
        let Some(newest) = reign.last().and_then(|epoch| state.of_epoch(*epoch)).copied() else { return };
        let believed = match self.broken {
            Broken::ReportEpoch => newest.owner == sender,
            _ => state.believes(reign, sender, epoch),
        };
        if believed && state.budget.statuses > 0 {
            state.budget.statuses -= 1;
            let over = state.objects[object].version;
            let (term, accepted) = (newest.term, newest.epoch);
            state.network.insert(Message::Status { term, object, over, reporter: sender, epoch, accepted });
        }
    }

    /// The hub does what its rules allow.
    fn land(&self, state: &mut State, message: &Message, heard: bool) {
        match *message {
            Message::Map { sender, over, map } => {
                let newest = *state.newest();
                let is_claim = map.claimant != newest.claimant || map.term != newest.term;
                let allowed = match self.broken {
                    Broken::ClaimVersion => map.term >= newest.term,
                    _ => {
                        over == newest.epoch
                            && map.epoch > newest.epoch
                            && (map.term > newest.term || map.term == newest.term && map.claimant == newest.claimant)
                    }
                };
                if !allowed {
                    return;
                }
                state.maps.push(map);
                let is_alive = state.process(sender.replica) == sender;
                let reign = &mut state.replicas[usize::from(sender.replica)].reign;
                match (heard && is_alive, is_claim) {
                    (true, true) => *reign = vec![map.epoch],
                    (true, false) => reign.push(map.epoch),
                    // A map of one's own that one hasn't heard of ends the reign: the version that is known is wrong.
                    (false, _) => {}
                }
            }
            Message::Status { term, object, over, reporter, epoch, accepted } => {
                let newest = state.newest().term;
                let is_fenced = !matches!(self.broken, Broken::Fence | Broken::FenceAndRule) && term < newest;
                let breaks_rule = self.broken != Broken::FenceAndRule && term < state.objects[object].term;
                let is_current = over == state.objects[object].version;
                state.refused_by_fence |= is_current && is_fenced;
                if is_fenced || breaks_rule || !is_current && self.broken != Broken::FenceAndRule {
                    return;
                }
                state.former_term_landed |= term < newest;
                state.fell |= term < state.objects[object].term;
                state.landed_in_second_term |= term > 1;
                let since = state.maps.iter().filter(|map| (epoch..=accepted).contains(&map.epoch));
                state.not_of_owner |= since.into_iter().any(|map| map.owner != reporter);
                let version = state.objects[object].version + 1;
                state.objects[object] = Object { version, term };
            }
            Message::Report { .. } => {}
        }
    }
}
