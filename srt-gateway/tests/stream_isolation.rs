//! Whatever publishers, viewers and reloads do, a viewer receives only its own stream, and nothing of a source that had
//! ended before it called: random sequences, with a seed that a failure prints.

mod peers;

use std::time::Instant;

use peers::{Call, Sink, Source, gateway, port, wait_until};
use srt_gateway::{Gateway, Role, config::Config};

/// Two streams with a common path prefix, which the dialects could confuse, and one whose name is that prefix.
const STREAMS: [Stream; 3] = [
    Stream {
        name: "live/one",
        publish: "publish/live/one",
        play: "#!::r=live/one,m=request",
    },
    Stream {
        name: "live/two",
        publish: "#!::r=live/two,m=publish",
        play: "play/live/two",
    },
    Stream {
        name: "live",
        publish: "publish/live",
        play: "play/live",
    },
];

struct Stream {
    name: &'static str,
    publish: &'static str,
    play: &'static str,
}

/// A publisher, by the tag of its messages.
struct Published {
    stream: usize,
    source: Option<Source>,
    /// When the gateway no longer had a session of it.
    ended: Option<Instant>,
}

struct Viewer {
    stream: usize,
    called: Instant,
    sink: Sink,
}

/// The gateway and everyone who has ever called it.
struct World {
    gateway: Gateway,
    seed: u64,
    random: u64,
    published: Vec<Published>,
    viewers: Vec<Viewer>,
    reloads: u32,
}

fn toml(reloads: u32) -> String {
    let policy = ["takeover", "standby"];
    format!(
        "[srt]\nport = \"127.0.0.1:0\"\n[streams_default]\naccept_unknown = true\non_source_lost = \"1h\"\n\
         duplicate_publisher = \"{}\"\n[streams.other{reloads}]\n",
        policy[reloads as usize % 2]
    )
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            gateway: gateway(&toml(0)),
            seed,
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            published: Vec::new(),
            viewers: Vec::new(),
            reloads: 0,
        }
    }

    /// Xorshift.
    fn below(&mut self, limit: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 33) as usize % limit
    }

    fn publishers_of(&self, stream: usize) -> usize {
        let sessions = self.gateway.sessions();
        let publishers = sessions.iter().filter(|session| session.role == Role::Publisher);
        publishers
            .filter(|session| session.stream.as_str() == STREAMS[stream].name)
            .count()
    }

    fn live(&self, stream: usize) -> Vec<usize> {
        let all = self.published.iter().enumerate();
        all.filter(|(_, one)| one.stream == stream && one.ended.is_none())
            .map(|(tag, _)| tag)
            .collect()
    }

    fn step(&mut self) {
        let stream = self.below(STREAMS.len());
        match self.below(8) {
            0..=2 => self.publish(stream),
            3 => self.stop(stream),
            4 | 5 => self.play(stream),
            6 => self.leave(),
            _ => self.reload(),
        }
    }

    fn publish(&mut self, stream: usize) {
        let takes_over = self.reloads.is_multiple_of(2);
        let before = self.live(stream);
        if before.len() > 1 {
            return;
        }
        let tag = u8::try_from(self.published.len()).expect("few publishers");
        let call = Call::named(STREAMS[stream].publish);
        let source = Source::publish(tag, port(&self.gateway), &call);
        self.published.push(Published {
            stream,
            source: Some(source),
            ended: None,
        });
        let left = if takes_over { 1 } else { before.len() + 1 };
        wait_until("the publishers that are left", || {
            self.publishers_of(stream) == left
        });
        if takes_over {
            for tag in before {
                self.published[tag].source = None;
                self.published[tag].ended = Some(Instant::now());
            }
        }
    }

    fn stop(&mut self, stream: usize) {
        let live = self.live(stream);
        if live.is_empty() {
            return;
        }
        let tag = live[self.below(live.len())];
        self.published[tag].source = None;
        wait_until("the end of the publisher", || {
            self.publishers_of(stream) == live.len() - 1
        });
        self.published[tag].ended = Some(Instant::now());
    }

    fn play(&mut self, stream: usize) {
        let called = Instant::now();
        let sink = Sink::play(port(&self.gateway), &Call::named(STREAMS[stream].play));
        if !self.live(stream).is_empty() {
            sink.wait_more(1);
        }
        self.viewers.push(Viewer { stream, called, sink });
    }

    fn leave(&mut self) {
        if !self.viewers.is_empty() {
            let viewer = self.below(self.viewers.len());
            let viewer = self.viewers.swap_remove(viewer);
            self.check(viewer);
        }
    }

    fn reload(&mut self) {
        self.reloads += 1;
        let config = Config::parse(&toml(self.reloads)).expect("valid");
        self.gateway.reload(config).expect("the gateway runs");
    }

    fn check(&self, viewer: Viewer) {
        let Viewer { stream, called, sink } = viewer;
        for (at, tag, number) in sink.finish() {
            let source = &self.published[usize::from(tag)];
            let seed = self.seed;
            assert_eq!(
                STREAMS[source.stream].name, STREAMS[stream].name,
                "seed {seed}: another stream's message {number}"
            );
            assert!(
                source.ended.is_none_or(|ended| ended > called),
                "seed {seed}: message {number} of source {tag}, which had ended {:?} before the viewer called, came {:?} after",
                source.ended.map(|ended| called - ended),
                at - called
            );
        }
    }
}

#[test]
fn a_viewer_receives_its_own_stream_and_nothing_of_earlier_sources() {
    for seed in 1..=6 {
        let mut world = World::new(seed);
        for _ in 0..40 {
            world.step();
        }
        while !world.viewers.is_empty() {
            world.leave();
        }
    }
}
