//! Amounts of money for people.

/// Currencies whose minor unit is the unit itself (ISO 4217, exponent 0).
const WHOLE: [&str; 17] = [
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND",
    "VUV", "XAF", "XOF", "XPF",
];
/// Currencies with thousandths (ISO 4217, exponent 3).
const THOUSANDTHS: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

/// `minor` units of `currency`, for example `40.00 GBP`.
pub(super) fn amount(minor: i64, currency: &str) -> String {
    let digits = if WHOLE.contains(&currency) {
        0
    } else if THOUSANDTHS.contains(&currency) {
        3
    } else {
        2
    };
    if digits == 0 {
        return format!("{minor} {currency}");
    }
    let unit = 10_u64.pow(digits);
    let (whole, rest) = (minor.unsigned_abs() / unit, minor.unsigned_abs() % unit);
    let sign = if minor < 0 { "-" } else { "" };
    let width = digits as usize;
    format!("{sign}{whole}.{rest:0width$} {currency}")
}

#[cfg(test)]
mod tests {
    use super::amount;

    #[test]
    fn the_currency_says_how_many_digits() {
        assert_eq!(amount(4_000, "GBP"), "40.00 GBP");
        assert_eq!(amount(5, "EUR"), "0.05 EUR");
        assert_eq!(amount(1_200, "JPY"), "1200 JPY");
        assert_eq!(amount(1_200, "KWD"), "1.200 KWD");
        assert_eq!(amount(-5, "GBP"), "-0.05 GBP");
    }
}
