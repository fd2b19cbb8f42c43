"""Lists of English words: general ones such as "new" and "results", which say little about the subject, and others.

They were chosen on the train and validation parts of Inspec and the train part of SemEval2010. There, a phrase that
starts with one of the modifiers is almost never a keyphrase, but the rest of the phrase often is ("new algorithm",
"several Monte Carlo methods"). A phrase that consists of these nouns is almost never a keyphrase ("results").
Modifiers that often belong to the keyphrases of KP20k, ACM and Inspec train ("deep", "maximum", "real") are not on the
list. The other lists are partly written by hand.
"""

from __future__ import annotations

#: Adjectives, participles and ordinals that may start a noun phrase but are not part of a term.
GENERAL_MODIFIERS = frozenset(
    """
    able acceptable accurate actual additional adequate advanced alternative appropriate associated
    available bad basic best better broad called careful certain chief classic clear close common
    comparable competing complete comprehensive considerable considered consistent conventional convincing
    corresponding crucial current cutting-edge desirable desired detailed developed different difficult
    distinct due earlier early easy effective efficient enhanced enormous entire essential established
    excellent existing expected experimental extensive extra famous few fewer final first following former
    full further future general given good great greater growing half hard high-quality higher important
    impressive improved increased increasing individual inherent initial innovative interesting introduced
    key known large larger largest last late later latest latter less likely limited little long-standing
    low-cost lower main major many mere minor modern modified more most much multiple necessary new newer
    next novel numerous obtained obvious old original other overall own particular past popular possible
    potential powerful practical precise preliminary presented previous primary prior promising proper
    proposed real-world realistic reasonable recent related relevant reliable remaining reported required
    respective resulting rich right rigorous same satisfactory second selected sensible separate several
    severe short significant similar simple simplified single slight small smaller so-called solid
    sophisticated special specific specified standard state-of-the-art strong studied subsequent
    substantial successful such sufficient suitable superior sure third top total traditional true typical
    underlying unique used useful usual valuable various vast very vital well-known whole wide widespread
    """.split()
)

#: Nouns that name a part of the exposition, a measure of anything, or a thing in general.
GENERAL_NOUNS = frozenset(
    """
    ability account addition advance advances advantage advantages aim aims amount answer answers approach
    approaches area areas argument article aspect aspects assumption assumptions attempt attempts attention
    author authors background basis benefit benefits body case cases challenge challenges chance change
    changes characteristic characteristics choice choices circumstances claim class classes combination
    comparison component concept concepts conclusion conclusions condition conditions consequence
    consideration considerations context contrast contribution contributions course day days deal definition
    degree description detail details development developments difference differences difficulties difficulty
    discussion drawback drawbacks effect effectiveness effects effort efforts element elements end evidence
    example examples existence experience experiment experiments explanation extension extent fact factor
    factors family feature features field fields figure finding findings focus form forms framework function
    functionality functions fundamental future generation goal goals group groups growth hand idea ideas
    impact implementation implication implications importance improvement improvements increase influence
    instance instances interest introduction investigation issue issues item items kind kinds knowledge lack
    level levels limit limitation limitations list literature location lot majority manner means measure
    mechanism mechanisms method methodology methods minute model models motivation name nature need needs
    notion number numbers object objective objectives objects observation observations one order others
    outcome outcomes page pages pair pairs paper papers part parts people period perspective place point
    points possibility potential practice presence present presentation principle principles problem problems
    procedure procedures process processes product progress project properties property proposal purpose
    purposes quality question questions range rate reader readers reason reasons region relation remainder
    report requirement requirements research researcher researchers respect rest result results review role
    scale scenario scenarios scheme schemes scope section sections sense series set sets setting settings
    shortcoming show situation situations size solution solutions sort space stage stages standard start state
    states step steps strategies strategy strength structure structures studies study style subject subset
    success sum summary support system systems table task tasks technique techniques term terms test theme
    thing things thought time times today tool tools topic topics total trend trends type types use user users
    value values variety version versions view viewpoint views way ways week weeks work works world year years
    """.split()
)

#: First two words of terms and names that start with a general word.
GENERAL_TERMS = frozenset(
    """
    advanced encryption; alternative medicine; associated press; available bandwidth; best buy; best practice;
    best practices; case studies; case study; case tools; common cold; common ground; common law; common market;
    common sense; common stock; competing risks; complete graph; complete graphs; conventional weapons;
    current account; current density; different equations; early childhood; early warning; efficient frontier;
    efficient market; end point; end product; end user; expected utility; expected value; field study;
    field work; final fantasy; first aid; first amendment; first lady; first responders; focus group;
    focus groups; former soviet; full moon; function point; function points; future contracts;
    general anesthesia; general assembly; general electric; general motors; general practitioner;
    general relativity; good friday; great barrier; great britain; great depression; great lakes; great wall;
    group work; hard disk; hard drive; hard rock; higher education; higher order; individual differences;
    individual rationality; initial public; initial value; introduced species; key exchange; key management;
    key stage; knowledge work; known issues; land use; large hadron; large intestine; large numbers; late fee;
    level set; level sets; limited liability; little endian; little league; lower bound; lower bounds;
    lower house; major league; minor league; modern art; multiple choice; multiple sclerosis; new age;
    new brunswick; new deal; new delhi; new england; new guinea; new hampshire; new haven; new jersey;
    new media; new mexico; new orleans; new testament; new wave; new year; new york; new zealand; object model;
    objective function; objective functions; old age; old testament; old town; original sin; other backward;
    past tense; point process; popular culture; popular vote; potential difference; potential energy;
    primary care; primary key; primary school; prior art; prior distribution; process improvement;
    process model; product quality; proper nouns; rich text; right wing; second amendment; second language;
    second order; selected reaction; severe weather; short circuit; short selling; short story;
    significant figures; significant other; similar triangles; simple harmonic; single machine; single malt;
    single parent; single sign-on; small business; small businesses; small intestine; small talk; small world;
    solid state; special education; special effects; special forces; special needs; special relativity;
    standard deviation; standard deviations; standard error; standard gauge; standard library; standard model;
    state space; strong password; structure function; sufficient condition; sufficient conditions;
    third parties; third party; third world; time series; top level; top quark; topic model; topic models;
    total cost; traditional medicine; true north; true positive; type system; type systems; unique identifier;
    use case; use cases; user experience; user model; user studies; user study; vital signs; whole genome;
    whole grain; whole wheat; work group; world wide
    """.strip()
    .replace("\n    ", " ")
    .split("; ")
)

#: Modifiers that no term has, however often it recurs: only a name may have them.
NEVER_IN_TERMS = frozenset(
    """
    able acceptable accurate actual additional adequate appropriate best better careful certain considerable
    considered convincing corresponding crucial desirable detailed developed different difficult distinct
    due earlier easy effective efficient enormous entire essential established excellent existing
    extensive famous few fewer following former further given good greater growing half impressive
    improved increased increasing innovative interesting larger later latest latter less likely little main many
    mere more most much newer new novel numerous obtained obvious other overall own particular practical
    preliminary presented previous promising proper proposed reasonable recent related relevant reliable
    remaining reported required respective resulting rich same satisfactory separate several significant
    similar slight so-called sophisticated specific studied subsequent substantial successful such
    suitable superior sure traditional typical underlying used useful usual valuable various vast very
    well-known widespread
    """.split()
)

#: Words that a number or letter follows without being part of a term ("Figure 2", "May 15").
NUMBERED_PARTS = frozenset(
    """
    appendix april august case chapter chapters day december definition eq eqs equation equations example
    exercise february fig figs figure figures in item january july june lemma line lot march may month no
    november october page pages part point problem proposition q question remark row rule sec section
    september slide step steps table tables theorem time vol volume week year
    """.split()
)

#: Nouns that form a term with the name of a person ("Moore's law").
EPONYM_NOUNS = frozenset(
    """
    algorithm arteries canal cells condition conjecture constant contraction cube cycle demon diagram dilemma
    disease distribution dystrophy effect equation equations equivalence expansion fever formula function gap
    hypothesis identity index inequality integral inversion iteration law laws lemma leukaemia leukemia line
    lymphoma matrix method model notation number palsy paradox postulate principle problem procedure process
    product psychosis purchase ratio razor reflex relation rule sarcoma score sign space sphere syndrome test
    theorem theory thesis transform tree triangle tumor tumour wager wheel
    """.split()
)

#: NLTK's English stop words. Taggers sometimes mistake them for nouns, and a long text has many of them.
STOP_WORDS = frozenset(
    """
    a about above after again against ain all am an and any are aren as at be because been before being below
    between both but by can couldn d did didn do does doesn doing don down during each few for from further had
    hadn has hasn have haven having he her here hers herself him himself his how i if in into is isn it its
    itself just ll m ma me mightn more most mustn my myself needn no nor not now o of off on once only or other
    our ours ourselves out over own re s same shan she should shouldn so some such t than that the their theirs
    them themselves then there these they this those through to too under until up ve very was wasn we were
    weren what when where which while who whom why will with won wouldn y you your yours yourself yourselves
    """.split()
)

#: Stop words of the rule `paper`: the 319 English stop words of the Glasgow information retrieval group, which the code
#: of SAMRank's authors reads from a file. They are scikit-learn's list and "computer".
PAPER_STOP_WORDS = frozenset(
    """
    a about above across after afterwards again against all almost alone along already also although always am
    among amongst amoungst amount an and another any anyhow anyone anything anyway anywhere are around as at
    back be became because become becomes becoming been before beforehand behind being below beside besides
    between beyond bill both bottom but by call can cannot cant co computer con could couldnt cry de describe
    detail do done down due during each eg eight either eleven else elsewhere empty enough etc even ever every
    everyone everything everywhere except few fifteen fifty fill find fire first five for former formerly forty
    found four from front full further get give go had has hasnt have he hence her here hereafter hereby herein
    hereupon hers herself him himself his how however hundred i ie if in inc indeed interest into is it its
    itself keep last latter latterly least less ltd made many may me meanwhile might mill mine more moreover
    most mostly move much must my myself name namely neither never nevertheless next nine no nobody none noone
    nor not nothing now nowhere of off often on once one only onto or other others otherwise our ours ourselves
    out over own part per perhaps please put rather re same see seem seemed seeming seems serious several she
    should show side since sincere six sixty so some somehow someone something sometime sometimes somewhere
    still such system take ten than that the their them themselves then thence there thereafter thereby
    therefore therein thereupon these they thick thin third this those though three through throughout thru thus
    to together too top toward towards twelve twenty two un under until up upon us very via was we well were
    what whatever when whence whenever where whereafter whereas whereby wherein whereupon wherever whether which
    while whither who whoever whole whom whose why will with within without would yet you your yours yourself
    yourselves
    """.split()
)
