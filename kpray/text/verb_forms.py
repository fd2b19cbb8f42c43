"""Lists of English verbs. Taggers mistake verbs for nouns, above all in short sentences.

They were chosen by counting, in the abstracts and posts of Inspec train and valid, KP20k, ACM and StackExchange, how
often each word follows a word such as `to` or `they`, and how often a word such as `the` or `of`. A part is written by
hand.
"""

from __future__ import annotations

#: Verbs that are almost never nouns.
PURE_VERBS = frozenset(
    """
    abandon abide absorb abstain accelerate accept accommodate accompany accomplish accrue accumulate accuse achieve
    acknowledge acquire acquit activate actuate adapt add adhere adjust admire admit adopt advertise advise affect
    afford aggravate agree allege alleviate allocate allow alter ameliorate amend amplify analyse analyze animate
    annotate announce anticipate appear apply appoint approve argue arise arouse arrange arrive articulate ask
    aspire assemble assert assess assign assist assume assure astonish attach attain attend attract augment
    authenticate automate avoid await become begin behave believe belong betray bind boil breathe bring broaden
    browse bury calculate calibrate cancel carry catalyze categorise categorize celebrate certify characterise
    characterize choose circulate circumvent cite clarify classify cleanse coagulate coincide collaborate collect
    come communicate compare compel compensate compete compile comply comprehend comprise compute conceal
    concentrate conceptualize conclude condemn condense confess configure confirm conform confront confuse
    congratulate connect conquer conserve consider consist consolidate constitute constrain construct consume
    contain contend contextualize continue contradict contribute converge convert convey convince cooperate cope
    correlate correspond corroborate corrode counteract create criticize culminate cultivate decentralize decide
    declare decode decompose decouple deepen defend define degrade delete delimit delineate deliver delve
    democratize demolish demonstrate demote denote deny depart depend depict deplete deploy depress derive describe
    destroy detect deter deteriorate determine detract develop deviate devise devote devour diagnose differ
    differentiate disable disagree disambiguate disappear disappoint discard disclose discover discriminate discuss
    disentangle dismiss disrupt disseminate dissolve distill distinguish distract distribute diversify divert donate
    educate elicit eliminate embarrass embed embody embrace emerge emigrate emit emphasise emphasize employ empower
    emulate enable encapsulate encode encompass encourage encrypt endanger endorse endow enforce engage enhance
    enjoy enlarge enrich ensue ensure entail enter entertain enumerate envision equalize equip erase erode erupt
    eschew establish evacuate evaluate evaporate evict evoke evolve exacerbate examine exceed excite exclude execute
    exemplify exert exist expand expect expel expire explain explicate explore expose extend extinguish extrapolate
    fabricate facilitate factorize feel ferment fill find flee forbid foresee forgive formalise formalize formulate
    foster fulfill furnish gather generalise generalize generate germinate get give govern greet guess hamper happen
    hear heighten hinder hydrate hydrolyse hydrolyze hypothesize identify illuminate illustrate imagine imitate
    immerse impair impart impede imply impose imprison improve improvise incentivize include incorporate incur
    indicate induce infect infer inflate inflict inform ingest inhabit inhale inherit inhibit initialize initiate
    inject insert inspect inspire instantiate instigate instruct insulate integrate intend interact intercept
    interfere interpolate interpret interrupt intersect introduce invade invert investigate invite invoke involve
    irrigate irritate isolate iterate justify juxtapose keep know learn legalise legalize lend lessen leverage
    localize locate loosen lose lubricate magnify maintain manage manipulate marry materialize maximise maximize
    mediate meditate meet memorize migrate mimic minimise minimize misrepresent mitigate modify modulate motivate
    mourn multiply mutate navigate necessitate negate nominate normalize notify obey obfuscate obscure observe
    obstruct obtain occlude occupy occur offend omit operate operationalize oppose optimize orchestrate organise
    organize orient originate oscillate oust outperform outsource overcome overestimate override overtake oxidize
    parallelize paralyze parameterize participate penetrate perceive perform permeate persist personalise
    personalize persuade pertain perturb phosphorylate pinpoint pollinate pollute populate posit possess postulate
    precede preclude predict prefer prepare prescribe preserve prevail prevent prioritize proceed procrastinate
    prohibit prolong promote propagate propose prosecute protect prove provide provoke publish pulverize punish
    purify pursue put qualify quantify ratify react realise realize recast receive recognise recognize recommend
    recompute reconcile reconfigure reconsider reconstruct recover recreate recur recycle redefine redirect
    redistribute reduce refer refine refocus reformulate refute regain regress regularize regulate reinforce
    reinterpret reject rejoice relate relax relieve rely remain remember remind remove render renew renovate reorder
    reorganize repel replace replicate represent reproduce repurpose require rerank resemble reshape reside resign
    resolve resort respond restate restore restrain restrict retain retaliate rethink retrain retrieve reveal revise
    revive satisfy say scare scrutinize see seem select sensitize settle shatter signify simplify simulate sing
    socialize soften solicit solve specialize specify speculate spend stabilise stabilize sterilize stimulate
    strengthen subdue submit subscribe substantiate succeed sue suffer suffice suggest summarise summarize
    superimpose suppose suppress surmount surpass survive sustain swallow synchronize synthesize teach tease tend
    terminate theorize think threaten thrive tighten tolerate transcend transcribe translate transmit traverse
    uncover undercut underestimate undergo underlie underline undermine underpin underscore understand undertake
    unearth unify unite unpack unravel unveil utilise utilize vaccinate validate vanish vary ventilate verify
    vibrate violate visualise visualize want warn weaken weave weigh widen withdraw wither withhold worsen write
    """.split()
)

#: Verbs that may be nouns, but seldom are after a plural or a name.
VERBS = frozenset(
    """
    age attack block boost break buy cause climb collapse cost decay decline defeat dominate drive eat fail feed
    fight fix flow fuel gain grow harm heat help hire hit host hurt join kill launch lead leak let lift limit love
    make melt need neglect notice offer open own produce reach release rise rot run rust save seek sell send serve
    shrink sink sleep spread store strike struggle swim target tell travel trigger urge visit win
    """.split()
)

#: Verbs that are nouns at least as often.
NOUN_VERBS = frozenset(
    """
    access account act address advance advocate aggregate aid aim alarm alert align alternate answer appeal
    approximate architect archive arm arrest associate attempt attest back bake balance ban bark bear beat bend
    benefit bet bite blame blast blend bloom blur bomb bond boom bootstrap border borrow brake bridge broadcast
    build burn bypass cache call capitalize capture care cast catch cater change charge chart chase cheat check
    cheer chill claim clash clean clear click close coalesce coin color colour combat combine commit complement
    complicate compose compress compromise concatenate conduct conflict control converse cook cool coordinate copy
    count counter couple cover crack crash crawl critique crop cross crowdsource crush cry cure cut damage dance
    date deal debate decrease defect delay delegate demand design desire dictate die diffuse digest dip discharge
    discount disguise dispense displace display disregard dissect disturb divide divorce double doubt download drag
    drain draw dream drift drill drop drown dump ease echo edit elaborate encounter end engineer erect escape
    estimate exchange exercise exhibit exit exploit export express extract face fade fall fan farm favor favour
    fetch film filter finish fire fish fit flag flash flood fly focus follow fool force forecast foreground form
    foul frame freeze fry fund fuse grade grant grasp graze grind guarantee guard guide hammer handle harness hatch
    heal hedge hide highlight hike hint hold hope hover hunt hurry ignore implement import impress impute increase
    index influence interleave jail judge jump kick kiss knock label laugh leave lie light link list listen live
    load lock log login look lower manifest map march mark mask master match mean measure mention merge mine mirror
    miss mix mock model moderate monitor move murder nail narrow note nudge outline overlap overlay overlook pack
    paint parse participant partition pass pave pay peak penalize permit phone pick pilot pitch pivot place plague
    plan plant play plot plunge pop portray pose post pour power praise preprocess present press pretend price print
    probe project promise prompt protest prune pull pump purchase push question race rage raid rain raise rally rank
    rate read rearrange record recruit redesign reflect refresh refuse register relay remark remedy repair repeat
    replay reply report request rescue reset resize rest resume retreat retrofit return retweet reuse reverse review
    reward rewrite ride ring risk rival roast rock roll root rotate route row ruin rule rush sacrifice sail sample
    saw scaffold scale scan schedule score seal search seat segment sense set shade shake shape share shed shelter
    shield shift ship shock shoot shout show showcase sign sit situate sketch skip slam slide slow smell smoke
    smooth snap soar sort sound span spark speak speed speedup spell spill spin split spoil spot spray spur squeeze
    stack staff stain stall stamp stand star start stay steal steer stem stick stop storm streamline stress stretch
    strive study substitute subsume suit supplement supply support surrender surround suspect sweep swell swing
    switch sync tackle tailor take talk tap taste tax tear test thank thaw throw tie tip toast touch tour tow trace
    track trade trail train transfer transform transport trap treat trust try tumble tune turn twist unfold update
    upgrade upload use value veto view voice vote wait wake walk wander warrant wash waste watch water wave wear
    welcome weld whip wind wipe wish wonder work worry worship wound wrap wreck yield zoom
    """.split()
)


def third_person(verb: str) -> str:
    """Its form after `she`: `carry` -> `carries`."""
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + ("es" if verb.endswith(("s", "x", "z", "ch", "sh", "o")) else "s")


#: Past forms that do not end in `ed`.
IRREGULAR_PASTS = frozenset(
    """
    arose ate awoke bade beat became began bent bet bid bit bled blew bore bought bound bred broke brought built
    burnt burst came cast caught chose clung cost crept cut dealt did drank dreamt drew drove dug dwelt fed fell
    felt fit fled flew flung forbade foresaw forgave forgot fought found froze gave got grew ground had heard held
    hid hit hung hurt kept knelt knew laid lay leant leapt learnt led left lent let lit lost made meant met misled
    mistook outdid outgrew outran overcame overran overrode overthrew overtook paid proved put quit ran rang read
    rebuilt redid remade resent rethought retook rewrote rode rose said sang sank sat saw sent set sewn shaken shed
    shone shook shot shrank shut slept slid smelt sold sought spat sped spelt spent spilt split spoke sprang spread
    spun stank stole stood strode strove struck strung stuck stung sung swam swept swore swung taught thought threw
    told took tore trod understood undertook underwent undid unwound upheld upset was wed went wept were wet
    withdrew withstood woke won wore wound wove wrote
    """.split()
)

BASES = PURE_VERBS | VERBS | NOUN_VERBS
#: Adverbs that do not end in `ly`, and words of numbers: taggers give their tags to unknown nouns, too.
ADVERBS = frozenset(
    """
    about above abroad across afterwards again ago ahead alike almost alone along already also always among anew
    anymore anyway anywhere apart around as aside asleep awake away back before behind below beneath best better
    beyond by close closer deep down downstream downwards due earlier either else elsewhere enough even ever
    everywhere far farther fast faster fine first forever forth forward free further furthermore half hard harder
    hence here hereafter high higher home how however in indeed indoors inside instead just last late later least
    less likewise little long longer loud lower maybe meanwhile more moreover most much n't near nearby never
    nevertheless next no nonetheless not notwithstanding now nowadays nowhere off often on once only open out
    outdoors outside over overall overnight overseas perhaps please pretty prior quick quiet quite rather regardless
    right round second seldom short since slow slower so somehow sometime sometimes somewhat somewhere soon sooner
    sort still straight straightforward such sure that then there thereafter thereby therefore third though through
    throughout thus tight today together tomorrow tonight too towards twice under underneath up upstream upwards
    very well wherever wide within without worse worst yesterday yet
    """.split()
)
NUMBERS = frozenset(
    """
    one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
    nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion trillion zero dozen
    hundreds thousands millions billions half ii iii iv vi vii viii ix xi xii xiii etc yes yeah ok okay hello
    """.split()
)

#: Third person -> verb.
THIRD_PERSONS = {third_person(verb): verb for verb in BASES}


def is_past(word: str) -> bool:
    """Whether a word may be a past form of a verb."""
    if word.endswith("ed") or not word.isalpha():
        return True
    return (
        word in IRREGULAR_PASTS or word.removeprefix("out").removeprefix("over").removeprefix("re") in IRREGULAR_PASTS
    )
