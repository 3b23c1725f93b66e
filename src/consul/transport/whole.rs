//! Sends a request's head and its body together. ureq hands them over one after the other, and each by itself is a call
//! of the system and a packet here, and another one at the agent's end.

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// What is longer, in bytes, is sent at once: to hold it would be a copy for nothing.
const MOST: usize = 16 * 1024;

/// Behind another connector: holds what is to be sent until that is worth it, or an answer is awaited.
#[derive(Debug)]
pub(super) struct Whole;

impl<In: Transport> Connector<In> for Whole {
    type Out = Holding<In>;

    fn connect(&self, _: &ConnectionDetails, chained: Option<In>) -> Result<Option<Holding<In>>, Error> {
        Ok(chained.map(|inner| Holding { inner, held: Vec::new() }))
    }
}

/// A transport that holds the head of a request back.
#[derive(Debug)]
pub(super) struct Holding<T> {
    inner: T,
    held: Vec<u8>,
}

impl<T: Transport> Holding<T> {
    /// Sends what is held, by way of the output buffer.
    fn send_held(&mut self, timeout: NextTimeout) -> Result<(), Error> {
        let held = std::mem::take(&mut self.held);
        let mut sent = held.as_slice();
        while !sent.is_empty() {
            let output = self.inner.buffers().output();
            let amount = output.len().min(sent.len());
            let (now, later) = sent.split_at(amount);
            output.iter_mut().zip(now).for_each(|(place, byte)| *place = *byte);
            self.inner.transmit_output(amount, timeout)?;
            sent = later;
        }
        Ok(())
    }
}

impl<T: Transport> Transport for Holding<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if self.held.is_empty() && amount > MOST {
            return self.inner.transmit_output(amount, timeout);
        }
        // Also of a long body the first part: what is held has to go before it, through the same buffer.
        let output = self.inner.buffers().output().get(..amount).unwrap_or_default();
        self.held.extend_from_slice(output);
        if self.held.len() > MOST { self.send_held(timeout) } else { Ok(()) }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.send_held(timeout)?;
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
