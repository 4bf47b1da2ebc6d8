use num_bigint::BigUint;

/// Whether 2^p - 1 is prime, by the Lucas-Lehmer test (Lehmer 1930): s(0) = 4, s(i+1) = s(i)^2 - 2; it is exactly when
/// s(p-2) is divisible. `keep_going` is asked before each step; `None` when it said no.
pub fn is_mersenne_prime(p: u32, keep_going: impl Fn() -> bool) -> Option<bool> {
    if p == 2 {
        return Some(true);
    }
    if !is_prime(p) {
        return Some(false);
    }
    let mersenne = (BigUint::from(1u32) << p) - 1u32;
    let mut s = BigUint::from(4u32);
    for _ in 0..p - 2 {
        if !keep_going() {
            return None;
        }
        s = reduce(&s * &s + &mersenne - 2u32, p, &mersenne);
    }
    Some(s == BigUint::ZERO)
}

/// n mod 2^p - 1 without a division: the bits above p are added to those below.
fn reduce(mut n: BigUint, p: u32, mersenne: &BigUint) -> BigUint {
    while n > *mersenne {
        n = (&n & mersenne) + (&n >> p);
    }
    if n == *mersenne { BigUint::ZERO } else { n }
}

/// Whether p is prime, by trial division.
pub fn is_prime(p: u32) -> bool {
    p >= 2 && (2..=p.isqrt()).all(|d| !p.is_multiple_of(d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_exponents_up_to_1300_are_found_and_no_others() {
        let found: Vec<u32> = (2..1300)
            .filter(|&p| is_mersenne_prime(p, || true) == Some(true))
            .collect();
        assert_eq!(
            found,
            [2, 3, 5, 7, 13, 17, 19, 31, 61, 89, 107, 127, 521, 607, 1279]
        );
    }

    #[test]
    fn a_test_can_be_broken_off() {
        assert_eq!(is_mersenne_prime(1279, || false), None);
    }
}
