//! The words of the workspace: an organisation that builds and runs public transport.

pub(super) const PROGRAMS: [&str; 12] = [
    "Tram Network 2030",
    "Zero-Emission Fleet",
    "Ticketing without Barriers",
    "Depot Renewal",
    "Safe Stations",
    "Signalling & Control",
    "Réseau de nuit",
    "Data Platform",
    "Energy Recovery",
    "Accessible Stops",
    "Straßenbahn-Werkstatt “Süd”",
    "Passenger Information",
];

pub(super) const PEOPLE: [&str; 34] = [
    "Amara Okafor",
    "Bjørn Lindqvist",
    "Chiara Russo",
    "Dagny Haraldsen",
    "Elif Yılmaz",
    "Farid Rahimi",
    "Greta Novák",
    "Hiro Tanaka",
    "Inês Carvalho",
    "Jonas Weber",
    "Katarzyna Zielińska",
    "Liam O’Connor",
    "Mei-Ling Chen",
    "Nadia Haddad",
    "Oskar Virtanen",
    "Priya Raman",
    "Quentin Dubois",
    "Rosa Jiménez",
    "Sven Müller",
    "Tomás Herrera",
    "Uma Patel",
    "Viktor Petrov",
    "Wanjiru Kamau",
    "Xavier Martin",
    "Yasmin Aziz",
    "Zoë de Vries",
    "Anders Holm",
    "Beatriz Costa",
    "Cem Arslan",
    "Dorota Lewandowska",
    "Emeka Nwosu",
    "Fiona Byrne",
    "Gianni Conti",
    "Hannah Schmidt",
];

pub(super) const PROJECT_VERBS: [&str; 8] =
    ["Extend", "Replace", "Modernise", "Pilot", "Roll out", "Electrify", "Relocate", "Audit"];

pub(super) const PROJECT_THINGS: [&str; 12] = [
    "overhead line",
    "charging hall",
    "ticket validators",
    "point heating",
    "platform lifts",
    "radio cells",
    "track bed",
    "dispatcher workplaces",
    "washing plant",
    "lineside cabinets",
    "fare engine",
    "departure boards",
];

pub(super) const PLACES: [&str; 12] = [
    "Harbour Loop",
    "Nordbahnhof",
    "Place de l’Étoile",
    "University",
    "Depot West",
    "Line 4",
    "Line 11",
    "Airport branch",
    "Old Town",
    "Riverside",
    "Kirchplatz",
    "Sector “B”",
];

pub(super) const STATUSES: [&str; 5] = ["Not started", "In progress", "On hold", "In review", "Done"];
pub(super) const PRIORITIES: [&str; 4] = ["Low", "Medium", "High", "Critical"];
pub(super) const HEALTH: [&str; 3] = ["🟢 on track", "🟡 at risk", "🔴 off track"];
pub(super) const GOALS: [&str; 6] = ["Climate", "Punctuality", "Safety", "Cost", "Accessibility", "Data quality"];

pub(super) const COST_CATEGORIES: [&str; 9] = [
    "Planning",
    "Civil works",
    "Rolling stock",
    "Electrical",
    "Software",
    "Licences",
    "Consulting",
    "Training",
    "Contingency",
];

pub(super) const QUARTERS: [&str; 6] = ["2025-Q3", "2025-Q4", "2026-Q1", "2026-Q2", "2026-Q3", "2026-Q4"];

pub(super) const VENDORS: [&str; 10] = [
    "Voltara GmbH",
    "Società Binari S.p.A.",
    "Northline Engineering",
    "Kowalski & Syn",
    "Ohmega Grid",
    "Rail\\Soft Ltd",
    "Atelier Lumière",
    "Quill “QA” Partners",
    "BetaSteel",
    "Fjord Consulting",
];

pub(super) const RISKS: [&str; 10] = [
    "Late delivery of transformers",
    "Permit for night works refused",
    "Key engineer leaves",
    "Interface to the old fare engine undocumented",
    "Price of copper rises > 15 %",
    "Contaminated soil below the track bed",
    "Supplier insolvent",
    "Test track double-booked",
    "Residents object to noise",
    "Data protection review outstanding",
];

pub(super) const MITIGATIONS: [&str; 6] = [
    "Second supplier under contract; weekly call.",
    "Application filed early.\nFallback: day works in the school holidays.",
    "Hand-over notes in C:\\projects\\handover\\, reviewed monthly.",
    "Fixed price until the end of the quarter (option “A”).",
    "Measure first, then decide: see the report 報告書 of last week.",
    "Accepted 🤝",
];

pub(super) const ACTIONS: [&str; 10] = [
    "Order spare parts for",
    "Call the inspector about",
    "Update the schedule of",
    "Write the tender for",
    "Walk the site of",
    "Check invoices of",
    "Prepare the steering group on",
    "Translate the notice for",
    "Book the crane for",
    "Close the punch list of",
];
