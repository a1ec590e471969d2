"""Units, what prices are quoted in, and what packages weigh, each with its source; figures are exact, as text."""

from typing import Final

SI: Final = "International System of Units"
POUND: Final = "International yard and pound agreement, 1959: 1 lb = 0.45359237 kg"
YARD: Final = "International yard and pound agreement, 1959: 1 yd = 0.9144 m"
REC21: Final = "UN/ECE Recommendation 21"
OTHER: Final = "OTH"  # the quantity code of GST returns for what has none of its own

# dimension → code, symbol, name, how many of the base unit, source, code in GST returns, UN/ECE code
UNITS: Final = {
    "MASS": (
        ("KG", "kg", "Kilogram", "1", SI, "KGS", "KGM"),
        ("G", "g", "Gram", "1/1000", SI, "GMS", "GRM"),
        ("MT", "t", "Metric ton", "1000", SI, "MTS", "TNE"),
        ("QTL", "q", "Quintal", "100", "Indian practice: 100 kg (UN/ECE DTN)", "QTL", "DTN"),
        ("LB", "lb", "Pound", "45359237/100000000", POUND, OTHER, "LBR"),
        ("OZ", "oz", "Ounce", "45359237/1600000000", f"{POUND}; 1/16 lb", OTHER, "ONZ"),
        (
            "TROY_OZ",
            "oz t",
            "Troy ounce",
            "19439673/625000000",
            "480 grains of the international pound: 31.1034768 g",
            OTHER,
            "APZ",
        ),
        ("SHORT_TON", "sh tn", "Short ton", "45359237/50000", f"{POUND}; 2,000 lb", OTHER, "STN"),
        ("LONG_TON", "long tn", "Long ton", "317514659/312500", f"{POUND}; 2,240 lb", OTHER, "LTN"),
        ("CANDY", "candy", "Candy", "17781/50", "Trade convention in India: 355.62 kg", OTHER, None),
        (
            "CANDY_784LB",
            "candy (784 lb)",
            "Candy of 784 lb",
            "2222602613/6250000",
            f"784 lb avoirdupois; {POUND}",
            OTHER,
            None,
        ),
        (
            "CANDY_MCX",
            "candy (MCX)",
            "Candy of the MCX",
            "8889/25",
            "Circular MCX/TRD/059/2023: 355.56 kg",
            OTHER,
            None,
        ),
        (
            "CANDY_CCI",
            "candy (CCI)",
            "Candy of the CCI",
            "356",
            "Terms of sale of the CCI: 356 kg",
            OTHER,
            None,
        ),
        ("MAUND", "maund", "Maund", "186621/5000", "Trade convention in Pakistan: 37.3242 kg", OTHER, None),
        (
            "MAUND_82LB",
            "maund (82 2/7 lb)",
            "Maund of 82 2/7 lb",
            "58319019/1562500",
            f"82 2/7 lb exactly; {POUND}",
            OTHER,
            None,
        ),
        ("MAUND_40", "maund (40 kg)", "Metric maund", "40", "Metric maund: 40 kg", OTHER, None),
        ("MAUND_20", "maund (20 kg)", "Maund of Gujarat", "20", "Mandis of Gujarat: 20 kg", OTHER, None),
        (
            "BUSHEL_60",
            "bu (60 lb)",
            "Bushel of 60 lb",
            "136077711/5000000",
            f"Wheat, soybean; {POUND}",
            OTHER,
            None,
        ),
        ("BUSHEL_56", "bu (56 lb)", "Bushel of 56 lb", "317514659/12500000", f"Maize; {POUND}", OTHER, None),
    ),
    "LENGTH": (
        ("M", "m", "Metre", "1", SI, "MTR", "MTR"),
        ("CM", "cm", "Centimetre", "1/100", SI, "CMS", "CMT"),
        ("MM", "mm", "Millimetre", "1/1000", SI, OTHER, "MMT"),
        ("INCH", "in", "Inch", "127/5000", f"{YARD}; 1/36 yd", OTHER, "INH"),
        ("FOOT", "ft", "Foot", "381/1250", f"{YARD}; 1/3 yd", OTHER, "FOT"),
        ("YARD", "yd", "Yard", "1143/1250", YARD, "YDS", "YRD"),
    ),
    "AREA": (
        ("M2", "m²", "Square metre", "1", SI, "SQM", "MTK"),
        ("SQ_FOOT", "ft²", "Square foot", "145161/1562500", YARD, "SQF", "FTK"),
        ("SQ_YARD", "yd²", "Square yard", "1306449/1562500", YARD, "SQY", "YDK"),
    ),
    "VOLUME": (
        ("L", "L", "Litre", "1", SI, "LTR", "LTR"),
        ("ML", "mL", "Millilitre", "1/1000", SI, "MLT", "MLT"),
        ("M3", "m³", "Cubic metre", "1000", SI, "CBM", "MTQ"),
        ("US_GALLON", "gal (US)", "US gallon", "473176473/125000000", "231 cubic inches", "UGS", "GLL"),
        ("BARREL", "bbl", "Barrel", "9936705933/62500000", "42 US gallons", OTHER, "BLL"),
    ),
    "COUNT": (
        ("PIECE", "pc", "Piece", "1", "A count of one", "PCS", "H87"),
        ("DOZEN", "doz", "Dozen", "12", "A count of twelve", "DOZ", "DZN"),
        ("GROSS", "gr", "Gross", "144", "A count of twelve dozen", "GRS", "GRO"),
        ("BALE", "bale", "Bale", "1", f"A count, without mass; {REC21}", "BAL", "BL"),
        ("BAG", "bag", "Bag", "1", f"A count, without mass; {REC21}", "BAG", "BG"),
        ("CARTON", "ctn", "Carton", "1", f"A count, without mass; {REC21}", "CTN", "CT"),
        ("CONE", "cone", "Cone", "1", f"A count, without mass; {REC21}", OTHER, "AJ"),
    ),
}
DIMENSIONS: Final = {code: dimension for dimension, rows in UNITS.items() for code, *_ in rows}

# currency, quoted in 1 ÷ divisor of it → the units, and the smallest step of the price
PRICES: Final = (
    *(
        (f"INR/{unit}", "INR", 1, unit, None)
        for unit in (
            "CANDY",
            "CANDY_784LB",
            "CANDY_MCX",
            "CANDY_CCI",
            "QTL",
            "KG",
            "MT",
            "MAUND_20",
            "BALE",
        )
    ),
    ("PKR/MAUND", "PKR", 1, "MAUND", None),
    ("PKR/MAUND_40", "PKR", 1, "MAUND_40", None),
    ("USC/LB", "USD", 100, "LB", "0.01"),
    ("USD/MT", "USD", 1, "MT", None),
    ("USD/KG", "USD", 1, "KG", None),
)
PLACES: Final = 2

# commodity, package → origin, basis, value, low, high, unit, source
PRACTICE: Final = "Practice of the trade in the country of origin"
USDA: Final = "United States Department of Agriculture: bale of 480 lb net, some 500 lb gross"
WEIGHTS: Final = {
    ("COTTON", "BALE"): (
        ("IN", "NOMINAL", "170", "155", "175", "KG", PRACTICE),
        ("PK", "NOMINAL", "170", "155", "170", "KG", PRACTICE),
        ("TZ", "NOMINAL", "181", "175", "185", "KG", PRACTICE),
        ("UG", "NOMINAL", "185", "180", "190", "KG", PRACTICE),
        ("AU", "NOMINAL", "227", "220", "235", "KG", PRACTICE),
        ("EG", "NOMINAL", "327", "315", "335", "KG", PRACTICE),
        ("BR", "NOMINAL", None, "200", "230", "KG", PRACTICE),
        ("MX", "NOMINAL", None, "200", "230", "KG", PRACTICE),
        ("US", "STATISTICAL_NET", "480", "480", "480", "LB", USDA),
        ("US", "GROSS", "500", "500", "500", "LB", USDA),
    ),
    **{
        (commodity, "BAG"): (("IN", "NOMINAL", "50", "48", "100", "KG", PRACTICE),)
        for commodity in ("WHEAT", "CHANA", "SOYBEAN")
    },
}
