//! With an installed libsrt: errors name the functions that it lacks.
#![cfg(feature = "system")]

use srt_safe::{ErrorKind, GroupType, Options, SrtGroup, SrtListener, SrtSocket};

#[test]
fn bonding_works_or_is_refused_with_words() {
    let listener = SrtListener::builder()
        .options(Options::new().group_connect(SrtGroup::is_supported()))
        .bind("127.0.0.1:0");
    if SrtGroup::is_supported() {
        let listener = listener.expect("a library with bonding has the option");
        let addr = listener.local_addr().expect("bound");
        let group = SrtGroup::connect(GroupType::Broadcast, addr).expect("connects");
        assert!(group.id().is_group());
    } else {
        let error = SrtGroup::connect(GroupType::Broadcast, "127.0.0.1:9").expect_err("no bonding");
        assert_eq!(error.kind(), ErrorKind::InvalidState);
        assert!(error.to_string().contains("without bonding"), "{error}");
    }
}

#[test]
fn a_plain_connection_carries_data() {
    let listener = SrtListener::bind("127.0.0.1:0").expect("a listener");
    let caller = SrtSocket::connect(listener.local_addr().expect("bound")).expect("connects");
    let (accepted, _) = listener.accept().expect("a caller");
    caller.send(b"a packet").expect("sends");
    let mut buffer = [0; 1316];
    let len = accepted.recv(&mut buffer).expect("receives");
    assert_eq!(&buffer[..len], b"a packet");
    assert_eq!(
        SrtListener::can_defer(),
        libsrt_sys::has_edit(libsrt_sys::EDIT_DEFERRED_VERDICT)
    );
}
