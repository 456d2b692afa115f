//! What keeps what it is given: a bus, and a mailbox that may be down.

use std::sync::{Arc, Mutex};

use tidemark_flow::{Bus, Error, ErrorKind, Mail, Mailer, StepDue};

use crate::fault::Plan;

/// Keeps what is announced.
#[derive(Default)]
pub struct Announced(pub Mutex<Vec<StepDue>>);

impl Bus for Announced {
    fn announce(&self, due: &[StepDue]) -> Result<(), Error> {
        self.0.lock().unwrap().extend_from_slice(due);
        Ok(())
    }
}

/// Keeps mails, or does not.
#[derive(Default)]
pub struct Mailbox {
    pub mails: Mutex<Vec<Mail>>,
    pub is_down: Mutex<bool>,
    /// What befalls the store meanwhile, and how many calls there were at each mail that was sent.
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
