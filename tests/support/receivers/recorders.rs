//! Recording test doubles: a bus, and a mailbox that may be down.

use std::sync::{Arc, Mutex};

use tidemark_flow::{Bus, Error, ErrorKind, Mail, Mailer, StepDue};

use crate::support::faulty_store::Plan;

/// Records announcements.
#[derive(Default)]
pub struct RecordingBus(pub Mutex<Vec<StepDue>>);

impl Bus for RecordingBus {
    fn announce(&self, due: &[StepDue]) -> Result<(), Error> {
        self.0.lock().unwrap().extend_from_slice(due);
        Ok(())
    }
}

/// Records mails, unless it is down.
#[derive(Default)]
pub struct Mailbox {
    pub mails: Mutex<Vec<Mail>>,
    pub is_down: Mutex<bool>,
    /// The fault plan of the store, and how many store calls had been made when each mail was sent.
    pub plan: Mutex<Option<Arc<Plan>>>,
    pub sent_at: Mutex<Vec<usize>>,
}

impl Mailer for Mailbox {
    fn send(&self, mail: &Mail) -> Result<(), Error> {
        if *self.is_down.lock().unwrap() {
            return Err(Error::new(ErrorKind::Retry, "the post is on strike"));
        }
        self.mails.lock().unwrap().push(mail.clone());
        if let Some(plan) = &*self.plan.lock().unwrap() {
            self.sent_at.lock().unwrap().push(plan.calls().len());
        }
        Ok(())
    }
}

impl Mailbox {
    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }
}
