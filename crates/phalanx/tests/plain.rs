//! Plain values: there and back, by hand and by serde, and through bytes that nobody wrote.

use std::collections::BTreeMap;

use phalanx::plain::format::{MAX_DEPTH, tag};
use phalanx::plain::{
    BigInt, Plain, PlainError, buffer_lengths, decode, decode_into, encode, encode_from, from, to,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

fn frame_of(value: &Plain) -> Vec<u8> {
    let mut frame = Vec::new();
    encode(value, &mut frame).expect("a frame");
    frame
}

fn atoms() -> impl Strategy<Value = Plain> {
    let text = prop_oneof![".{0,8}", ".{250,260}"];
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..8),
        prop::collection::vec(any::<u8>(), 254..258)
    ];
    prop_oneof![
        Just(Plain::None),
        any::<bool>().prop_map(Plain::from),
        any::<i64>().prop_map(Plain::from),
        any::<i128>().prop_map(Plain::from),
        (-1e300..1e300).prop_map(Plain::from),
        text.prop_map(Plain::from),
        bytes.prop_map(Plain::Bytes),
    ]
}

fn values() -> impl Strategy<Value = Plain> {
    atoms().prop_recursive(4, 64, 6, |inner| {
        let items = || prop::collection::vec(inner.clone(), 0..6);
        let numbers = || prop::collection::vec(any::<i64>().prop_map(Plain::from), 0..6);
        let floats = prop::collection::vec((-1.0..1.0).prop_map(Plain::from), 0..6);
        let keys = prop_oneof![any::<i64>().prop_map(Plain::from), ".{0,4}".prop_map(Plain::from)];
        prop_oneof![
            items().prop_map(Plain::List),
            items().prop_map(Plain::Tuple),
            numbers().prop_map(Plain::List),
            numbers().prop_map(Plain::Tuple),
            floats.prop_map(Plain::List),
            prop::collection::vec((keys, inner.clone()), 0..6).prop_map(Plain::Dict),
        ]
    })
}

proptest! {
    #[test]
    fn values_come_back(value in values()) {
        let frame = frame_of(&value);
        prop_assert_eq!(&decode(&frame, &[]).expect("a value"), &value);
        // By serde too, within a type of the program's own.
        let mut wrapped = Vec::new();
        encode_from(&(value.clone(), 1u8), &mut wrapped).expect("a frame");
        let (inner, one): (Plain, u8) = decode_into(&wrapped, &[]).expect("a pair");
        prop_assert_eq!((&inner, one), (&value, 1));
    }

    #[test]
    fn a_part_of_a_frame_is_no_value(value in values()) {
        let frame = frame_of(&value);
        for end in 0..frame.len() {
            prop_assert!(matches!(decode(&frame[..end], &[]), Err(PlainError::Damaged(_))));
        }
        let longer = [&frame[..], &[0]].concat();
        prop_assert!(matches!(decode(&longer, &[]), Err(PlainError::Damaged(_))));
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(0u8..40, 0..64)) {
        if let Ok(value) = decode(&bytes, &[]) {
            // What was understood can be said again, and means the same.
            prop_assert_eq!(decode(&frame_of(&value), &[]), Ok(value));
        }
        let _ = decode_into::<BTreeMap<String, Vec<Option<f64>>>>(&bytes, &[]);
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(f64),
    Line(i32, i32),
    Named { name: String, sides: Vec<u8> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    small: u8,
    large: u64,
    huge: i128,
    letter: char,
    maybe: (Option<u8>, Option<()>, Option<String>),
    shapes: Vec<Shape>,
    table: BTreeMap<i64, BTreeMap<String, f32>>,
    rest: Plain,
}

#[test]
fn types_of_a_program_come_back() {
    let value = Everything {
        small: 1,
        large: u64::MAX,
        huge: i128::MIN,
        letter: 'ß',
        maybe: (Some(3), None, Some(String::new())),
        shapes: vec![
            Shape::Point,
            Shape::Circle(1.5),
            Shape::Line(-1, 2),
            Shape::Named { name: "x".to_owned(), sides: vec![1, 2] },
        ],
        table: BTreeMap::from([(-4, BTreeMap::from([("a".to_owned(), 0.5)]))]),
        rest: Plain::Tuple(vec![Plain::Int(1), Plain::Bytes(vec![0, 255])]),
    };
    let plain = to(&value).expect("a plain form");
    assert_eq!(from::<Everything>(&plain).expect("the type"), value);
    assert_eq!(plain.get("large"), Some(&Plain::BigInt(u128::from(u64::MAX).into())));
    assert_eq!(
        plain.get("shapes").map(Plain::to_string).as_deref(),
        Some(
            r#"["Point", {"Circle": 1.5}, {"Line": (-1, 2)}, {"Named": {"name": "x", "sides": [1, 2]}}]"#
        )
    );
}

#[test]
fn reading_is_tolerant_where_no_meaning_is_lost() {
    let ints: Plain = [1, 2].into_iter().collect();
    assert_eq!(from::<(f64, u8)>(&ints), Ok((1.0, 2)));
    assert_eq!(from::<Vec<u8>>(&Plain::Tuple(vec![])), Ok(vec![]));
    let bytes = Plain::Bytes(vec![7, 255]);
    assert_eq!(from::<Vec<u8>>(&bytes), Ok(vec![7, 255]));
    assert_eq!(from::<[u16; 2]>(&bytes), Ok([7, 255]));
    assert!(from::<[u8; 3]>(&bytes).is_err() && from::<[u8; 1]>(&bytes).is_err());
    #[derive(Debug, PartialEq, Deserialize)]
    struct One {
        a: u8,
    }
    let more = Plain::Dict(vec![("a".into(), 1.into()), ("b".into(), ints.clone())]);
    assert_eq!(from::<One>(&more), Ok(One { a: 1 }));
    for wrong in [from::<u8>(&Plain::Int(256)).err(), from::<(u8, u8, u8)>(&ints).err()] {
        assert!(matches!(wrong, Some(PlainError::Unsuited(_))), "{wrong:?}");
    }
    let too_many = from::<(u8,)>(&ints).expect_err("one item too many");
    assert!(too_many.to_string().contains("1 of 2 items"), "{too_many}");
}

#[test]
fn buffers_are_used_in_order() {
    let mut frame = vec![tag::BUFFERS, 2, 0, 0, 0];
    frame.extend_from_slice(&3u64.to_le_bytes());
    frame.extend_from_slice(&2u64.to_le_bytes());
    frame.extend_from_slice(&[tag::LIST, 2, 0, 0, 0, tag::STR_BUFFER, tag::BYTES_BUFFER]);
    let buffers = [b"abc".to_vec(), b"de".to_vec()];
    assert_eq!(buffer_lengths(&frame), Ok(vec![3, 2]));
    let expected = Plain::List(vec!["abc".into(), b"de"[..].into()]);
    assert_eq!(decode(&frame, &buffers), Ok(expected));
    assert!(matches!(decode(&frame, &buffers[..1]), Err(PlainError::Damaged(_))));
    assert!(matches!(decode(&frame, &[vec![0; 4], vec![0; 2]]), Err(PlainError::Damaged(_))));
}

#[test]
fn what_is_no_plain_value_is_named() {
    assert_eq!(decode(&[tag::OPAQUE, 1, 2, 3], &[]), Err(PlainError::Opaque));
    let odd = BTreeMap::from([((1, 2), 3)]);
    assert!(matches!(to(&odd), Err(PlainError::Unsuited(_))));
    let odd = Plain::Dict(vec![(Plain::List(vec![]), Plain::None)]);
    assert!(matches!(encode(&odd, &mut Vec::new()), Err(PlainError::Unsuited(_))));
    let wide = Plain::BigInt(BigInt::from_le_bytes(&[1; 40]));
    assert!(from::<u128>(&wide).expect_err("too wide").to_string().contains("128 bits"));
}

#[test]
fn depth_has_a_limit_both_ways() {
    let nested = |depth| (0..depth).fold(Plain::Int(1), |inner, _| Plain::List(vec![inner]));
    let deepest = nested(MAX_DEPTH);
    assert_eq!(decode(&frame_of(&deepest), &[]).as_ref(), Ok(&deepest));
    let mut out = b"kept".to_vec();
    assert_eq!(encode(&nested(MAX_DEPTH + 1), &mut out), Err(PlainError::TooDeep));
    assert_eq!(out, b"kept");
    let hostile = [tag::LIST, 1, 0, 0, 0].repeat(100_000);
    assert_eq!(decode(&hostile, &[]), Err(PlainError::TooDeep));
    assert!(decode_into::<Plain>(&hostile, &[]).is_err());
}

#[test]
fn a_count_beyond_the_frame_reserves_nothing() {
    for opener in [tag::LIST, tag::TUPLE_I64, tag::DICT, tag::BUFFERS] {
        let frame = [opener, 255, 255, 255, 255, 0, 0];
        assert!(matches!(decode(&frame, &[]), Err(PlainError::Damaged(_))), "{opener}");
    }
}
