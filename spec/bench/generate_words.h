/*
** generate_words.h: the words that generate.c makes its texts of. Everyday English, and a
** few words in each of twenty other scripts and spellings.
*/
#ifndef GENERATE_WORDS_H
#define GENERATE_WORDS_H

static const char *const english[] = {
    "the",         "of",           "and",       "to",          "a",
    "in",          "is",           "that",      "it",          "for",
    "you",         "with",         "on",        "as",          "are",
    "this",        "be",           "can",       "or",          "from",
    "your",        "by",           "not",       "an",          "have",
    "at",          "which",        "if",        "we",          "will",
    "when",        "one",          "more",      "all",         "there",
    "their",       "has",          "also",      "how",         "what",
    "would",       "should",       "about",     "into",        "than",
    "other",       "some",         "time",      "use",         "each",
    "first",       "then",         "these",     "most",        "value",
    "between",     "while",        "because",   "after",       "before",
    "order",       "account",      "customer",  "payment",     "invoice",
    "shipping",    "support",      "question",  "answer",      "please",
    "thanks",      "hello",        "example",   "result",      "number",
    "table",       "function",     "variable",  "string",      "array",
    "server",      "request",      "response",  "error",       "model",
    "training",    "data",         "file",      "line",        "point",
    "water",       "energy",       "history",   "century",     "river",
    "mountain",    "city",         "country",   "language",    "music",
    "film",        "recipe",       "sugar",     "minutes",     "temperature",
    "recommend",   "consider",     "however",   "therefore",   "different",
    "important",   "possible",     "available", "information", "understanding",
    "development", "organization", "I'm",       "don't",       "it's",
    "you're",      "let's",        "that's",    "we'll",       "can't",
    "step",        "simply",       "makes",     "sure",        "need",
    "want",        "work",         "works",     "change",      "changes",
    "small",       "large",        "new",       "old",         "long",
    "short"};

static const char *const assistants[] = {
    "You are a helpful assistant.",
    "You are Marv, a chatbot that reluctantly answers questions with sarcastic responses.",
    "You are a careful translator. Answer only with the translation.",
    "You are a senior engineer. Answer with short, correct code and say why it works.",
    "You are the support desk of an online shop. Be brief and polite; never invent an order."};

#define WORDS 12
static const struct {
  const char *name;
  int spaces; /* between words */
  const char *words[WORDS];
} scripts[] = {
    {"French",
     1,
     {"le", "été", "déjà", "garçon", "où", "être", "très", "leçon", "cœur", "à", "forêt", "naïf"}},
    {"German",
     1,
     {"der", "für", "größer", "über", "Straße", "schön", "Müller", "und", "können", "Prüfung",
      "ähnlich", "nicht"}},
    {"Polish",
     1,
     {"się", "źle", "żółty", "łódź", "dzień", "książka", "być", "proszę", "świat", "i", "też",
      "gdzie"}},
    {"Vietnamese",
     1,
     {"tiếng", "Việt", "người", "được", "không", "một", "những", "đường", "học", "nước", "cảm",
      "ơn"}},
    {"Greek",
     1,
     {"και", "το", "είναι", "λόγος", "ημέρα", "ελληνικά", "καλημέρα", "νερό", "πόλη", "θάλασσα",
      "με", "για"}},
    {"Cyrillic",
     1,
     {"и", "в", "не", "привет", "вопрос", "ответ", "работа", "город", "время", "спасибо", "который",
      "человек"}},
    {"Armenian",
     1,
     {"և", "բարև", "օր", "ջուր", "քաղաք", "լեզու", "մարդ", "տուն", "գիրք", "լավ", "մեծ",
      "շնորհակալություն"}},
    {"Georgian",
     1,
     {"და", "გამარჯობა", "დღე", "წყალი", "ქალაქი", "ენა", "სახლი", "წიგნი", "კარგი", "დიდი", "არის",
      "მადლობა"}},
    {"Hebrew",
     1,
     {"של", "שלום", "יום", "מים", "עיר", "שפה", "בית", "ספר", "טוב", "גדול", "הוא", "תודה"}},
    {"Arabic",
     1,
     {"في", "من", "مرحبا", "يوم", "ماء", "مدينة", "لغة", "بيت", "كتاب", "جيد", "كبير", "شكرا"}},
    {"Devanagari",
     1,
     {"और", "नमस्ते", "दिन", "पानी", "शहर", "भाषा", "घर", "किताब", "अच्छा", "बड़ा", "है", "धन्यवाद"}},
    {"Bengali",
     1,
     {"এবং", "নমস্কার", "দিন", "জল", "শহর", "ভাষা", "ঘর", "বই", "ভালো", "বড়", "হয়", "ধন্যবাদ"}},
    {"Tamil",
     1,
     {"மற்றும்", "வணக்கம்", "நாள்", "நீர்", "நகரம்", "மொழி", "வீடு", "புத்தகம்", "நல்ல", "பெரிய", "உள்ளது",
      "நன்றி"}},
    {"Telugu",
     1,
     {"మరియు", "నమస్కారం", "రోజు", "నీరు", "నగరం", "భాష", "ఇల్లు", "పుస్తకం", "మంచి", "పెద్ద", "ఉంది",
      "ధన్యవాదాలు"}},
    {"Thai",
     0,
     {"และ", "สวัสดี", "วัน", "น้ำ", "เมือง", "ภาษา", "บ้าน", "หนังสือ", "ดี", "ใหญ่", "เป็น", "ขอบคุณ"}},
    {"Ethiopic",
     1,
     {"እና", "ሰላም", "ቀን", "ውሃ", "ከተማ", "ቋንቋ", "ቤት", "መጽሐፍ", "ጥሩ", "ትልቅ", "ነው", "አመሰግናለሁ"}},
    {"Khmer",
     0,
     {"និង", "សួស្តី", "ថ្ងៃ", "ទឹក", "ទីក្រុង", "ភាសា", "ផ្ទះ", "សៀវភៅ", "ល្អ", "ធំ", "គឺ", "អរគុណ"}},
    {"Korean",
     1,
     {"그리고", "안녕하세요", "오늘", "물", "도시", "언어", "집", "책을", "좋은", "큰", "있습니다",
      "감사합니다"}},
    {"Japanese",
     0,
     {"これは", "質問", "です", "東京", "水", "言語", "カタカナ", "ひらがな", "良い", "大きい",
      "について", "ありがとう"}},
    {"Chinese",
     0,
     {"你好", "问题", "我们", "的", "城市", "语言", "学习", "数据", "很好", "因为", "所以",
      "谢谢"}}};

static const char *const emoji[] = {"😀",  "🚀", "👍", "🎉",    "❤️",  "👩‍💻",
                                    "🇫🇷", "✅", "🔥", "🤔", "1️⃣", "🦜"};
static const char *const typography[] = {"—", "…", "“so”", "’", "→", "€", "°C", "½"};

#endif
