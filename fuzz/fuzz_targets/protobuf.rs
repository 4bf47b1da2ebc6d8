//! Kubernetes' protobuf: what is decoded is encoded and decoded to the same.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // With and without the magic number, so that the fuzzer need not find it.
    let magic = [b"k8s\0", bytes].concat();
    for bytes in [bytes, &magic] {
        let Ok(object) = schema::decode_protobuf(bytes) else { continue };
        if let Some(encoded) = schema::encode_protobuf(&object) {
            let again = schema::decode_protobuf(&encoded).expect("what was encoded is decoded");
            assert_eq!(Some(&encoded), schema::encode_protobuf(&again).as_ref(), "{object}");
        }
    }
});
