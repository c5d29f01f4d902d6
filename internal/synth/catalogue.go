package synth

// codeSystem names the code system of made-up diagnosis, drug, procedure and encounter codes. Observations use LOINC
// codes, see NOTICE.
const codeSystem = "urn:flowehr:synthetic"

// wards of every made-up hospital.
var wards = []Ward{
	{"w-ed", "Emergency Department", "emergency medicine", 32},
	{"w-amu", "Acute Medical Unit", "acute medicine", 40},
	{"w-resp", "Heron Ward", "respiratory medicine", 26},
	{"w-card", "Kestrel Ward", "cardiology", 24},
	{"w-ren", "Otter Ward", "renal medicine", 20},
	{"w-eld", "Willow Ward", "care of the elderly", 28},
	{"w-surg", "Plover Ward", "general surgery", 30},
	{"w-onc", "Linnet Ward", "oncology", 18},
	{"w-clin", "Outpatient Clinics", "outpatients", 0},
}

// disease is a long-term condition with what it does to a life. Risk is the share of people who have it at 80 when
// nothing else is known; it grows with age from `from` years on.
type disease struct {
	code, name string
	from       int     // youngest age at onset
	risk       float64 // by the age of 80
	female     float64 // factor for women
	obesity    float64 // factor per 5 kg/m2 of body mass index above 25
	after      string  // code of a disease that doubles the risk
	drugs      []drug
	ward       string
	admissions float64 // inpatient stays a year
	clinics    float64 // clinic visits a year
	lethality  float64 // yearly chance of death that it adds
}

type drug struct{ code, name string }

// diseases are ordered so that one comes after those that it follows from.
var diseases = []disease{
	{"asthma", "Asthma", 4, .10, 1.2, 1.05, "", []drug{{"salbutamol", "Salbutamol 100 microgram inhaler"}, {"beclometasone", "Beclometasone 100 microgram inhaler"}}, "w-resp", .06, .3, .0005},
	{"depression", "Depressive disorder", 15, .16, 1.6, 1.05, "", []drug{{"sertraline", "Sertraline 50 mg tablets"}}, "w-amu", .02, .3, .001},
	{"hypertension", "Essential hypertension", 30, .55, .95, 1.35, "", []drug{{"amlodipine", "Amlodipine 5 mg tablets"}, {"ramipril", "Ramipril 5 mg capsules"}}, "w-amu", .02, .4, .002},
	{"diabetes", "Type 2 diabetes mellitus", 30, .18, .8, 1.9, "", []drug{{"metformin", "Metformin 500 mg tablets"}, {"gliclazide", "Gliclazide 80 mg tablets"}}, "w-amu", .08, 1.1, .006},
	{"ihd", "Ischaemic heart disease", 40, .20, .6, 1.15, "hypertension", []drug{{"atorvastatin", "Atorvastatin 40 mg tablets"}, {"aspirin", "Aspirin 75 mg tablets"}, {"bisoprolol", "Bisoprolol 2.5 mg tablets"}}, "w-card", .22, .6, .012},
	{"af", "Atrial fibrillation", 45, .15, .85, 1.15, "hypertension", []drug{{"apixaban", "Apixaban 5 mg tablets"}}, "w-card", .15, .5, .010},
	{"hf", "Heart failure", 50, .10, .8, 1.2, "ihd", []drug{{"furosemide", "Furosemide 40 mg tablets"}}, "w-card", .45, 1.0, .060},
	{"ckd", "Chronic kidney disease stage 3", 45, .22, 1.1, 1.1, "diabetes", []drug{{"losartan", "Losartan 50 mg tablets"}}, "w-ren", .18, .9, .015},
	{"copd", "Chronic obstructive pulmonary disease", 45, .10, .85, .95, "", []drug{{"tiotropium", "Tiotropium 18 microgram inhalation powder"}}, "w-resp", .40, .7, .030},
	{"dementia", "Dementia", 65, .16, 1.2, 1, "", []drug{{"donepezil", "Donepezil 10 mg tablets"}}, "w-eld", .30, .3, .080},
	{"cancer", "Malignant neoplasm", 35, .22, .95, 1.05, "", []drug{{"ondansetron", "Ondansetron 8 mg tablets"}}, "w-onc", .50, 2.5, .070},
	{"osteoarthritis", "Osteoarthritis", 45, .35, 1.4, 1.3, "", []drug{{"naproxen", "Naproxen 250 mg tablets"}}, "w-surg", .06, .4, 0},
}

// illness is an acute reason to come to the emergency department.
type illness struct {
	code, name string
	ward       string
	admit      float64 // chance of admission at the age of 40
	days       float64 // median stay when admitted
	weight     float64
}

var illnesses = []illness{
	{"chest-pain", "Chest pain", "w-card", .35, 2, 1.4},
	{"pneumonia", "Pneumonia", "w-resp", .70, 5, .8},
	{"uti", "Urinary tract infection", "w-amu", .30, 3, 1},
	{"fall", "Fall with injury", "w-eld", .30, 6, 1},
	{"abdominal-pain", "Abdominal pain", "w-surg", .30, 2, 1.2},
	{"fracture", "Fracture of bone", "w-surg", .35, 5, .7},
	{"laceration", "Laceration", "w-ed", .02, 1, 1.1},
	{"sepsis", "Sepsis", "w-amu", .95, 8, .25},
	{"stroke", "Stroke", "w-eld", .97, 9, .25},
	{"asthma-attack", "Acute breathlessness", "w-resp", .35, 2, .6},
	{"appendicitis", "Appendicitis", "w-surg", .95, 3, .2},
}

// operations are done during surgical stays.
var operations = []drug{
	{"appendicectomy", "Appendicectomy"},
	{"hip-replacement", "Replacement of hip joint"},
	{"laparoscopy", "Diagnostic laparoscopy"},
	{"fracture-fixation", "Fixation of fracture"},
}

// investigations may be done during any stay.
var investigations = []drug{
	{"chest-xray", "Plain X-ray of chest"},
	{"ct-head", "Computed tomography of head"},
	{"echo", "Echocardiography"},
	{"ecg", "Electrocardiogram"},
	{"blood-culture", "Blood culture"},
}

// measure is a kind of observation with its spread in a healthy adult; low and high bound what a body survives.
type measure struct {
	code, name, unit, category string
	mean, spread               float64
	low, high                  float64
	decimals                   int
}

// Measures by index, so that a life can refer to them without a search.
const (
	systolic = iota
	diastolic
	heartRate
	temperature
	saturation
	weight
	height
	bodyMass
	creatinine
	urea
	potassium
	haemoglobin
	whiteCells
	crp
	hba1c
	measureCount
)

var measures = [measureCount]measure{
	systolic:    {"8480-6", "Systolic blood pressure", "mm[Hg]", "vital-signs", 122, 11, 60, 240, 0},
	diastolic:   {"8462-4", "Diastolic blood pressure", "mm[Hg]", "vital-signs", 76, 8, 30, 140, 0},
	heartRate:   {"8867-4", "Heart rate", "/min", "vital-signs", 74, 10, 30, 200, 0},
	temperature: {"8310-5", "Body temperature", "Cel", "vital-signs", 36.7, .3, 33, 42, 1},
	saturation:  {"2708-6", "Oxygen saturation", "%", "vital-signs", 97.5, 1, 70, 100, 0},
	weight:      {"29463-7", "Body weight", "kg", "vital-signs", 75, 1.2, 2, 260, 1},
	height:      {"8302-2", "Body height", "cm", "vital-signs", 170, .4, 45, 215, 1},
	bodyMass:    {"39156-5", "Body mass index", "kg/m2", "vital-signs", 26, 0, 10, 70, 1},
	creatinine:  {"14682-9", "Creatinine in serum", "umol/L", "laboratory", 78, 11, 20, 1200, 0},
	urea:        {"22664-7", "Urea in serum", "mmol/L", "laboratory", 5.2, 1.2, 1, 60, 1},
	potassium:   {"2823-3", "Potassium in serum", "mmol/L", "laboratory", 4.3, .35, 2.2, 8, 1},
	haemoglobin: {"718-7", "Haemoglobin in blood", "g/dL", "laboratory", 13.9, 1.1, 4, 21, 1},
	whiteCells:  {"6690-2", "White cells in blood", "10*3/uL", "laboratory", 7, 1.7, .5, 60, 1},
	crp:         {"1988-5", "C reactive protein", "mg/L", "laboratory", 3, 2, 0, 500, 0},
	hba1c:       {"4548-4", "Haemoglobin A1c", "%", "laboratory", 5.4, .3, 3.5, 16, 1},
}

var (
	givenFemale = []string{"Amara", "Bryony", "Carys", "Delphine", "Esme", "Farah", "Gwenllian", "Harriet", "Iona", "Jessamy", "Keziah", "Leila", "Morwenna", "Nadia", "Oluchi", "Priya", "Rosalind", "Saoirse", "Tamsin", "Una", "Verity", "Wanda", "Xanthe", "Yasmin", "Zofia"}
	givenMale   = []string{"Alasdair", "Bilal", "Callum", "Dafydd", "Edmund", "Fraser", "Gethin", "Hamish", "Idris", "Jago", "Kwame", "Lachlan", "Mohan", "Niall", "Osian", "Piotr", "Rafferty", "Samir", "Tobias", "Umar", "Victor", "Wilfred", "Xavier", "Yusuf", "Zachary"}
	familyHead  = []string{"Ash", "Brack", "Carn", "Dun", "Elder", "Fen", "Gar", "Hazel", "Inver", "Kel", "Lang", "Mor", "Nether", "Oak", "Pen", "Quill", "Row", "Stan", "Thorn", "Under", "Vale", "Wether", "Yar"}
	familyTail  = []string{"bourne", "by", "combe", "croft", "dale", "field", "ford", "ham", "holme", "ley", "low", "mere", "moor", "stead", "thwaite", "ton", "wick", "worth"}
	cities      = []string{"Elsewhere", "Nether Elsewhere", "Port Morrow", "Harrowdale", "Skelby Magna", "Tarnbridge"}
	ethnicities = []weighted{{"White", 74}, {"Asian or Asian British", 12}, {"Black or Black British", 6}, {"Mixed", 4}, {"Other", 3}, {"Not stated", 1}}
)

type weighted struct {
	name   string
	weight int
}
