//! Requests of which one at a time is under way: what is asked meanwhile is asked when the answer is there.

/// Remembers what was asked last.
#[derive(Debug)]
pub struct Asker<R> {
    last: Option<R>,
    waiting: bool,
}

impl<R> Default for Asker<R> {
    fn default() -> Self {
        Self {
            last: None,
            waiting: false,
        }
    }
}

impl<R: Clone + PartialEq> Asker<R> {
    /// What is to be sent for `request` to be answered: nothing while another is under way, or when it was asked.
    pub fn want(&mut self, request: R) -> Option<R> {
        if self.waiting || self.last.as_ref() == Some(&request) {
            return None;
        }
        self.waiting = true;
        self.last = Some(request.clone());
        Some(request)
    }

    /// The answer came, or a failure in its place; it is not asked again by itself.
    pub fn answered(&mut self) {
        self.waiting = false;
    }

    /// What was asked is to be asked again.
    pub fn renew(&mut self) {
        if !self.waiting {
            self.last = None;
        }
    }

    /// There will be no answer.
    pub fn forget(&mut self) {
        self.waiting = false;
        self.last = None;
    }

    /// An answer is awaited.
    pub const fn is_waiting(&self) -> bool {
        self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_the_newest_last() {
        let mut asker = Asker::default();
        assert_eq!(asker.want(1), Some(1));
        assert_eq!(asker.want(2), None, "one is under way");
        assert_eq!(asker.want(3), None);
        asker.answered();
        assert_eq!(asker.want(3), Some(3));
        asker.answered();
        assert_eq!(asker.want(3), None, "it was answered");
        asker.renew();
        assert_eq!(asker.want(3), Some(3));
        asker.renew();
        assert_eq!(asker.want(3), None, "it is being answered");
        asker.forget();
        assert_eq!(asker.want(3), Some(3));
    }
}
