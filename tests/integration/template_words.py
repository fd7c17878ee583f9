"""What devices of the shipped templates send, as the words of their registers, and the values that these mean.

The words are written out by hand from the makers' descriptions (IEEE 754, two's complement, order of words), not made by
our own encoder. Each kind of value of a template stands here once: its type, scale and place.
"""

from typing import Any

Example = tuple[str, dict[str, str], dict[str, Any]]
"""More keys of the device file; words in hexadecimal by place; values by tag."""

F230_5, F229_25, F231 = "4366 8000", "4365 4000", "4367 0000"
F1_5, F2, F4_25, F50, F_75, F34_25 = "3FC0 0000", "4000 0000", "4088 0000", "4248 0000", "BF40 0000", "4209 0000"
F1812_5, F1234_5, F1268_75 = "44E2 9000", "449A 5000", "449E 9800"

SUNSPEC = {
    "holding:40000": "5375 6E53",
    "holding:40004": "4672 6F6E 6975 7300",
    "holding:40072": "0427 0163 0162 0162 FFFE",
    "holding:40080": "08FD 08FA 0901 FFFF",
    "holding:40084": "098F 0000 1389 FFFE",
    "holding:40094": "0012 D687 0001",
    "holding:40103": "019C 0000 0000 0000 FFFF",
    "holding:40108": "0004 0000 0000 0180",
}
SUNSPEC_VALUES = {
    "SunS": "SunS", "manufacturer": "Fronius", "A": 10.63, "AphA": 3.55, "PhVphA": 230.1, "W": 2447.0, "Hz": 50.01,
    "WH": 12345670.0, "TmpCab": 41.2, "St": "MPPT", "Evt1": ["over temperature", "over frequency"],
}  # fmt: skip

SCHNEIDER: dict[str, str] = {
    "holding:2999": F1_5, "holding:3001": F4_25, "holding:3003": F2, "holding:3019": "43C7 C000", "holding:3027": F230_5,
    "holding:3029": F229_25, "holding:3059": F1_5, "holding:3067": F_75, "holding:3109": F50,
    "holding:3203": "0000 0000 0012 D687", "holding:3207": "FFFF FFFF FFFF FFFF",
}  # fmt: skip
SCHNEIDER_VALUES = {
    "L1_current": 1.5, "L2_current": 4.25, "L3_current": 2.0, "L1_L2_voltage": 399.5, "L1_voltage": 230.5,
    "L2_voltage": 229.25, "power": 1.5, "reactive_power": -0.75, "frequency": 50.0, "import": 1234567.0, "export": -1.0,
}  # fmt: skip

CARLO_GAVAZZI: dict[str, str] = {
    # the low word first; 2305 tenths of a volt, 4250 mA, -18125 tenths of a watt
    "input:0": "0901 0000 08F7 0000", "input:12": "109A 0000", "input:18": "B933 FFFF", "input:40": "B933 FFFF",
    "input:46": "FD12", "input:51": "01F4", "input:52": "D687 0012", "input:64": "0065 0000", "input:78": "0157 0000",
}  # fmt: skip
CARLO_GAVAZZI_VALUES = {
    "L1_voltage": 230.5, "L2_voltage": 229.5, "L1_current": 4.25, "L1_power": -1812.5, "power": -1812.5,
    "L1_power_factor": -0.75, "frequency": 50.0, "import": 123456.7, "L1_import": 10.1, "export": 34.3,
}  # fmt: skip

ONE_PHASE = {
    "input:0": F230_5,
    "input:6": F4_25,
    "input:12": F1812_5,
    "input:30": F_75,
    "input:70": F50,
    "input:72": F1234_5,
}
ONE_PHASE_VALUES = {
    "voltage": 230.5, "current": 4.25, "power": 1812.5, "power_factor": -0.75, "frequency": 50.0, "import": 1234.5,
}  # fmt: skip

ABB: dict[str, str] = {
    "holding:0x5B00": "0000 0901", "holding:0x5B0C": "0000 01A9", "holding:0x5B14": "FFFD 3BFC", "holding:0x5B2C": "138A",
    "holding:0x5000": "0000 0000 0012 D687", "holding:0x5004": "0000 0001 0000 0000",
}  # fmt: skip
ABB_VALUES = {"power": -1812.52, "frequency": 50.02, "import": 12345.67, "export": 42949672.96}

EXAMPLES: dict[str, Example] = {
    "meters/eastron-sdm120.yaml": ("", ONE_PHASE | {"input:342": F1268_75}, ONE_PHASE_VALUES | {"total": 1268.75}),
    "meters/eastron-sdm230.yaml": ("", ONE_PHASE | {"input:36": F34_25}, ONE_PHASE_VALUES | {"phase_angle": 34.25}),
    "meters/eastron-sdm630.yaml": (
        "",
        {"input:0": f"{F230_5} {F229_25} {F231} {F1_5} {F4_25} {F2}", "input:52": F1812_5,
         "input:72": f"{F1234_5} {F34_25}"},
        {"L1_voltage": 230.5, "L2_voltage": 229.25, "L3_voltage": 231.0, "L2_current": 4.25, "power": 1812.5,
         "balance": 1200.25},
    ),
    "meters/eastron-sdm72d.yaml": (
        "",
        {"input:0": f"{F230_5} {F229_25} {F231} {F1_5} {F4_25} {F2}", "input:52": F1812_5, "input:344": F34_25},
        {"L3_voltage": 231.0, "L1_current": 1.5, "L3_current": 2.0, "power": 1812.5, "total_reactive": 34.25},
    ),
    "meters/abb-b21.yaml": ("", ABB, ABB_VALUES | {"voltage": 230.5, "current": 4.25}),
    "meters/abb-b23-b24.yaml": (
        "",
        ABB | {"holding:0x5B18": "0000 2710", "holding:0x5464": "0000 0000 0000 0065",
               "holding:0x5474": "0000 0000 0000 0157"},
        ABB_VALUES
        | {"L1_voltage": 230.5, "L1_current": 4.25, "L2_power": 100.0, "L2_import": 1.01, "L3_export": 3.43},
    ),
    "meters/schneider-iem3155.yaml": ("", SCHNEIDER, SCHNEIDER_VALUES),
    "meters/schneider-pm5000.yaml": ("", SCHNEIDER, SCHNEIDER_VALUES),
    "meters/carlo-gavazzi-em24.yaml": ("", CARLO_GAVAZZI, CARLO_GAVAZZI_VALUES),
    "meters/carlo-gavazzi-em340.yaml": ("", CARLO_GAVAZZI, CARLO_GAVAZZI_VALUES),
    "meters/siemens-pac3200.yaml": (
        "",
        {
            "holding:1": f"{F230_5} {F229_25} {F231}", "holding:13": F1_5, "holding:27": F1234_5, "holding:37": F_75,
            "holding:63": f"{F1268_75} {F1812_5} {F34_25}",
        },
        {
            "L1_voltage": 230.5, "L3_voltage": 231.0, "L1_current": 1.5, "L2_power": 1234.5, "L1_power_factor": -0.75,
            "apparent_power": 1268.75, "power": 1812.5, "reactive_power": 34.25,
        },
    ),
    "meters/janitza-umg96rm.yaml": (
        "",
        {
            "holding:19000": F230_5, "holding:19012": F4_25, "holding:19022": F1234_5, "holding:19026": F1812_5,
            "holding:19042": F_75, "holding:19050": F50, "holding:19068": F1268_75, "holding:19076": F34_25,
        },
        {
            "L1_voltage": 230.5, "L1_current": 4.25, "L2_power": 1234.5, "power": 1812.5, "reactive_power": -0.75,
            "frequency": 50.0, "import": 1268.75, "export": 34.25,
        },
    ),
    "inverters/sunspec-single-phase.yaml": ("unit: 126\n", SUNSPEC, SUNSPEC_VALUES),
    "inverters/sunspec-split-phase.yaml": ("unit: 126\n", SUNSPEC, SUNSPEC_VALUES | {"PhVphB": 229.8}),
    "inverters/sunspec-three-phase.yaml": ("unit: 126\n", SUNSPEC, SUNSPEC_VALUES | {"PhVphC": 230.5, "AphC": 3.54}),
    "inverters/huawei-sun2000.yaml": (
        "",
        {
            "holding:32016": "171B 0323", "holding:32064": "0000 1194", "holding:32069": "0901 08F7",
            "holding:32078": "0000 1388", "holding:32080": "0000 1130", "holding:32086": "2648 FFCE",
            "holding:32106": "0012 D687", "holding:32114": "0000 04D3",
        },
        {
            "PV1_voltage": 591.5, "PV1_current": 8.03, "input_power": 4500.0, "L1_voltage": 230.5, "L2_voltage": 229.5,
            "peak_power_today": 5000.0, "power": 4400.0, "efficiency": 98.0, "temperature": -5.0, "total_yield": 12345.67,
            "daily_yield": 12.35,
        },
    ),
    "inverters/growatt-string.yaml": (
        "",
        {
            "input:0": "0001 0000 AFC8 171B", "input:5": "0000 5DC0 0CE4", "input:35": "0000 ABE0", "input:38": "0901",
            "input:53": "0000 007B 0012 D687",
        },
        {
            "state": "normal", "input_power": 4500.0, "PV1_voltage": 591.5, "PV1_power": 2400.0, "PV2_voltage": 330.0,
            "power": 4400.0, "L1_voltage": 230.5, "daily_yield": 12.3, "total_yield": 123456.7,
        },
    ),
    "inverters/sungrow-sg.yaml": (
        "",
        {
            "input:5002": "007B D687 0012", "input:5007": "FFCE", "input:5010": "171B 0050", "input:5016": "1194 0000",
            "input:5018": "0901 08F7 0906", "input:5030": "1130 0000 FFF1 FFFF FD12 01F4",
        },
        {
            "daily_yield": 12.3, "total_yield": 1234567.0, "temperature": -5.0, "PV1_voltage": 591.5, "PV1_current": 8.0,
            "input_power": 4500.0, "L3_voltage": 231.0, "power": 4400.0, "reactive_power": -15.0, "power_factor": -0.75,
            "frequency": 50.0,
        },
    ),
    "inverters/sma-tripower.yaml": (
        "unit: 3\n",
        {
            "input:30201": "0000 0133", "input:30513": "0000 0000 0012 D687", "input:30517": "0000 0000 0000 303B",
            "input:30769": "0000 6126 0000 F258 0000 3C3C 0000 3A7A", "input:30783": "0000 5A0A", "input:30803": "0000 1389",
        },
        {
            "health": "ok", "total_yield": 1234567.0, "daily_yield": 12347.0, "DC_current": 24.87, "DC_voltage": 620.4,
            "DC_power": 15420.0, "power": 14970.0, "L1_voltage": 230.5, "frequency": 50.01,
        },
    ),
    "drives/schneider-altivar.yaml": (
        "",
        {"holding:3201": "0437 FE0C", "holding:3204": "002A", "holding:7121": "0005"},
        {
            "status": 1079.0, "operation_enabled": 1.0, "fault": 0.0, "alarm": 0.0, "reference_reached": 1.0,
            "output_frequency": -50.0, "motor_current": 4.2, "last_fault": 5.0,
        },
    ),
    "drives/danfoss-fc.yaml": (
        "",
        {"holding:16029": "0F07", "holding:16019": "FE0C", "holding:16129": "01F4", "holding:16139": "0000 01A9"},
        {"status": 3847.0, "reference": -50.0, "output_frequency": 50.0, "motor_current": 4.25},
    ),
    "io/moxa-iologik-e1210.yaml": (
        "", {"discrete:0": "1 0 1", "discrete:15": "1"}, {"DI0": 1.0, "DI1": 0.0, "DI2": 1.0, "DI15": 1.0},
    ),
    "io/moxa-iologik-e1240.yaml": (
        "parameters: {scale: 0.000244140625, offset: 4, unit: mA}\n",
        {"input:0": "0000 8000 FFFF", "input:7": "4000"},
        {"AI0": 4.0, "AI1": 12.0, "AI2": 19.999755859375, "AI7": 8.0},
    ),
    "io/advantech-adam-6017.yaml": (
        "", {"input:0": "0000 8000 FFFF", "input:7": "4000"}, {"AI0": 0.0, "AI2": 65535.0, "AI7": 16384.0},
    ),
    "io/advantech-adam-6050.yaml": (
        "", {"coil:0": "1 0", "coil:11": "1", "coil:17": "1"}, {"DI0": 1.0, "DI11": 1.0, "DO0": 0.0, "DO1": 1.0},
    ),
    "controllers/omron-e5cc.yaml": (
        "parameters: {scale: 0.1}\n",
        {"holding:0x2000": "FFCE", "holding:0x2002": "0708 0000 01F7", "holding:0x2103": "070D"},
        {"process_value": -5.0, "internal_set_point": 180.0, "heating": 50.3, "set_point": 180.5},
    ),
    "controllers/eurotherm-3200.yaml": (
        "parameters: {scale: 0.1}\n",
        {"holding:1": "FFCE 0708", "holding:5": "070D"},
        {"process_value": -5.0, "target_set_point": 180.0, "working_set_point": 180.5},
    ),
    "controllers/watlow-ez-zone.yaml": (
        "",
        {"holding:360": "4364 8000", "holding:2160": "4366 8000"},
        {"process_value": 228.5, "set_point": 230.5},
    ),
}  # fmt: skip
