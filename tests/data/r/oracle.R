# Reference numbers of R's lm(), poly, bs and ns on the data sets of R's package `datasets`. Run in this folder: Rscript oracle.R
options(warn = 1, stringsAsFactors = FALSE)
suppressMessages({library(datasets); library(splines); library(stats)})
out_dir <- "."

## ---- minimal JSON writer, 17 significant digits ---------------------------
S <- function(x) structure(as.list(x), class = "jscalar")   # force scalar
jstr <- function(s) paste0('"', gsub('"', '\\"', gsub("\\", "\\\\", s, fixed = TRUE), fixed = TRUE), '"')
jnum <- function(x) ifelse(is.na(x) | !is.finite(x), "null", sprintf("%.17g", x))
js <- function(x) {
  if (is.null(x)) return("null")
  if (inherits(x, "jscalar")) { x <- unclass(x)[[1]]
    return(if (is.character(x)) jstr(x) else if (is.logical(x) && !is.na(x)) tolower(as.character(x)) else jnum(as.numeric(x))) }
  if (is.list(x)) {
    v <- vapply(x, js, "")
    if (!is.null(names(x))) return(paste0("{", paste0(vapply(names(x), jstr, ""), ": ", v, collapse = ", "), "}"))
    return(paste0("[", paste(v, collapse = ", "), "]"))
  }
  if (is.matrix(x)) return(paste0("[", paste(apply(x, 1, function(r) js(as.numeric(r))), collapse = ",\n "), "]"))
  if (is.factor(x)) x <- as.character(x)
  if (is.character(x)) return(paste0("[", paste(vapply(unname(x), jstr, ""), collapse = ", "), "]"))
  paste0("[", paste(jnum(as.numeric(x)), collapse = ", "), "]")
}

## ---- data ------------------------------------------------------------------
dsn <- c("mtcars","ToothGrowth","warpbreaks","iris","chickwts","InsectSprays","PlantGrowth",
         "airquality","stackloss","swiss","trees","women","cars","faithful","attitude","LifeCycleSavings")
levels_out <- list()
for (d in dsn) {
  df <- as.data.frame(get(d))
  write.csv(df, file.path(out_dir, paste0(d, ".csv")), row.names = FALSE, na = "NA")
  f <- Filter(is.factor, df)
  if (length(f)) levels_out[[d]] <- lapply(f, function(z) levels(z))
  back <- read.csv(file.path(out_dir, paste0(d, ".csv")), check.names = FALSE)
  for (cn in names(df)) { a <- df[[cn]]; b <- back[[cn]]
    stopifnot(identical(is.na(a), is.na(b)), all(as.character(a) == as.character(b), na.rm = TRUE))
    if (is.numeric(a)) stopifnot(all(a == b, na.rm = TRUE)) }
}

## ---- cases -----------------------------------------------------------------
cases <- list(); extra <- list()
bt <- function(s) s
make_case <- function(data, formula, sq = formula, new = NULL, predict = TRUE, omit = NULL, note = NULL, tag = "") {
  df0 <- as.data.frame(get(data, envir = as.environment("package:datasets")))
  rownames(df0) <- NULL
  df <- df0
  if (!is.null(omit)) { df <- na.omit(df0[, omit]); rownames(df) <- NULL
    note <- paste(c(note, sprintf("fitted on data=na.omit(%s[, c(%s)]): stateful bases see complete rows only", data, paste0('"', omit, '"', collapse = ", "))), collapse = "; ") }
  f <- as.formula(formula)
  fit <- eval(bquote(lm(.(f), data = df)))
  sm <- summary(fit)
  cf <- coef(fit); nm <- names(cf)
  tab <- matrix(NA_real_, length(cf), 4, dimnames = list(nm, NULL))
  tab[!is.na(cf), ] <- sm$coefficients
  tt <- terms(fit); int <- attr(tt, "intercept")
  fs <- sm$fstatistic
  ll <- logLik(fit)
  res <- list(data = S(data), formula = S(formula), sq = S(sq), tag = S(tag),
    coef = list(names = nm, values = unname(cf), se = unname(tab[,2]), t = unname(tab[,3]), p = unname(tab[,4])),
    r2 = S(sm$r.squared), adj_r2 = S(sm$adj.r.squared), sigma = S(sm$sigma),
    fstat = if (is.null(fs)) NULL else S(unname(fs[1])),
    f_p = if (is.null(fs)) NULL else S(pf(fs[[1]], fs[[2]], fs[[3]], lower.tail = FALSE)),
    df_model = S(if (is.null(fs)) fit$rank - int else unname(fs[2])),
    df_resid = S(fit$df.residual), rank = S(fit$rank), intercept = S(int == 1), has_offset = S(!is.null(fit$offset)),
    loglik = S(as.numeric(ll)), aic_r = S(AIC(fit)), bic_r = S(BIC(fit)), rss = S(deviance(fit)),
    nobs = S(nobs(fit)), resid_head = unname(head(residuals(fit), 5)), fitted_head = unname(head(fitted(fit), 5)))
  if (!is.null(fit$offset)) {   # R 4.2.2 takes mss from fitted values that include the offset
    yy <- model.response(model.frame(fit)); o <- fit$offset; ss <- function(v) if (int) sum((v - mean(v))^2) else sum(v^2)
    m2 <- ss(fitted(fit) - o); rss <- deviance(fit); dfm <- fit$rank - int
    res$offset_alt <- list(r2_without_offset = S(m2 / (m2 + rss)), fstat_without_offset = if (dfm > 0) S((m2 / dfm) / (rss / fit$df.residual)) else NULL,
      r2_1_minus_rss_over_tss_y = S(1 - rss / ss(yy)))
  }
  # NULL entries in list(...) kept as NULL (list keeps them)
  if (!is.null(omit)) res$na_omit_vars <- omit
  if (!is.null(note) && nzchar(note)) res$note <- S(note)
  if (any(is.na(cf))) res$aliased <- nm[is.na(cf)]
  if (predict) {
    vars <- intersect(all.vars(formula(delete.response(tt))), names(df))
    off <- attr(tt, "offset")
    if (length(vars)) {
      asf <- unique(c(sub(".*factor\\(([A-Za-z.0-9]+)\\).*", "\\1", regmatches(formula, gregexpr("factor\\([A-Za-z.0-9]+\\)", formula))[[1]])))
      cc <- df[complete.cases(df[, vars, drop = FALSE]), vars, drop = FALSE]
      n <- nrow(cc); ii <- round(n * c(.12, .52, .93)); jj <- round(n * c(.35, .70, .22))
      nd <- cc[ii, , drop = FALSE]; rownames(nd) <- NULL
      for (v in vars) if (is.numeric(nd[[v]]) && !(v %in% asf)) nd[[v]] <- signif((cc[[v]][ii] + cc[[v]][jj]) / 2, 4)
      for (v in names(new)) nd[[v]] <- if (is.factor(nd[[v]])) factor(new[[v]], levels = levels(nd[[v]])) else new[[v]]
      # evaluate on rbind(data, new) so factor() sees all its levels
      big <- rbind(cc, nd); k <- nrow(big) - 2:0
      est <- function(i) suppressWarnings(stats::predict(fit, newdata = big, interval = i, level = .95, se.fit = TRUE))
      wmsg <- NULL
      pp <- withCallingHandlers(stats::predict(fit, newdata = big, interval = "prediction", level = .95, se.fit = TRUE),
              warning = function(w) { wmsg <<- conditionMessage(w); invokeRestart("muffleWarning") })
      pc <- est("confidence")
      # self check: fitted values reproduced
      y <- fitted(fit); rn <- match(names(y), rownames(cc)); stopifnot(!anyNA(rn), max(abs(pp$fit[rn,1] - y)) < 1e-8 * max(1, abs(y)))
      alone <- tryCatch(suppressWarnings(unname(stats::predict(fit, newdata = nd))), error = function(e) NULL)
      if (is.null(alone) || max(abs(alone - pp$fit[k,1])) > 1e-9 * max(1, abs(alone))) message("NOTE alone-predict differs/fails: ", formula)
      if (!is.null(wmsg)) message("predict warning [", formula, "]: ", wmsg)
      res$predict <- list(new = lapply(as.list(nd), function(z) z), fit = unname(pp$fit[k,1]), se_fit = unname(pp$se.fit[k]),
        lwr = unname(pp$fit[k,2]), upr = unname(pp$fit[k,3]), conf_lwr = unname(pc$fit[k,2]), conf_upr = unname(pc$fit[k,3]))
    }
  }
  res
}
add <- function(...) cases[[length(cases) + 1]] <<- make_case(...)
ext <- function(...) extra[[length(extra) + 1]] <<- make_case(...)

## basics, transforms
add("mtcars", "mpg ~ wt", tag = "basic")
add("mtcars", "mpg ~ 1", tag = "intercept only")
add("mtcars", "mpg ~ wt + hp - 1", tag = "no intercept")
add("mtcars", "mpg ~ 0 + wt", tag = "no intercept")
add("mtcars", "mpg ~ wt + I(wt^2)", "mpg ~ wt + I(wt**2)", tag = "I()")
add("mtcars", "log(mpg) ~ log(wt) + sqrt(hp)", tag = "transforms")
add("mtcars", "I(100/mpg) ~ wt + hp", tag = "lhs I()")
add("mtcars", "mpg ~ log2(disp) + log10(hp) + log1p(carb)", tag = "transforms")
add("mtcars", "mpg ~ exp(-wt) + abs(qsec - 18) + expm1(drat/10)", tag = "transforms")
add("mtcars", "mpg ~ .", tag = "dot")
add("mtcars", "log(mpg) ~ . - qsec - vs", tag = "dot with lhs transform")
add("mtcars", "mpg ~ wt * hp", tag = "numeric interaction")
add("mtcars", "mpg ~ wt * hp * qsec", tag = "numeric 3-way")
add("mtcars", "mpg ~ (wt + hp + qsec)^2", "mpg ~ (wt + hp + qsec)**2", tag = "power")
add("mtcars", "mpg ~ (wt + hp + qsec)^2 - hp:qsec", tag = "power with minus")
add("mtcars", "mpg ~ I(wt * hp) + I(disp/wt)", tag = "I()")
add("mtcars", "mpg ~ scale(wt) + scale(hp, scale = FALSE)", "mpg ~ scale(wt, ddof=1) + center(hp)", tag = "scale center")
add("mtcars", "mpg ~ scale(wt) * scale(hp)", "mpg ~ scale(wt, ddof=1) * scale(hp, ddof=1)", tag = "scale")
## factors
add("mtcars", "mpg ~ factor(cyl)", "mpg ~ C(cyl)", tag = "factor")
add("mtcars", "mpg ~ factor(cyl) + wt", "mpg ~ C(cyl) + wt", tag = "ancova")
add("mtcars", "mpg ~ factor(cyl) * wt", "mpg ~ C(cyl) * wt", tag = "ancova interaction")
add("mtcars", "mpg ~ factor(cyl) / wt", "mpg ~ C(cyl) / wt", tag = "nested numeric")
add("mtcars", "mpg ~ factor(cyl) / wt - 1", "mpg ~ C(cyl) / wt - 1", tag = "nested numeric, no intercept")
add("mtcars", "mpg ~ factor(cyl):wt", "mpg ~ C(cyl):wt", tag = "factor:numeric without mains")
add("mtcars", "mpg ~ wt + factor(cyl):wt", "mpg ~ wt + C(cyl):wt", tag = "slope shifts only")
add("mtcars", "mpg ~ 0 + factor(gear):hp + wt", "mpg ~ 0 + C(gear):hp + wt", tag = "factor:numeric no intercept")
add("mtcars", "mpg ~ factor(am) * factor(vs) * wt", "mpg ~ C(am) * C(vs) * wt", tag = "3-way mixed")
add("mtcars", "mpg ~ (factor(am) + factor(vs) + wt)^2", "mpg ~ (C(am) + C(vs) + wt)**2", tag = "power mixed")
add("mtcars", "mpg ~ C(factor(cyl), contr.sum) * wt", "mpg ~ C(cyl, Sum) * wt", tag = "sum contrast")
add("mtcars", "mpg ~ relevel(factor(cyl), ref = '8') + wt", "mpg ~ C(cyl, Treatment(reference=8)) + wt", tag = "treatment reference")
add("mtcars", "log(mpg) ~ factor(gear) + log(hp):factor(am)", "log(mpg) ~ C(gear) + log(hp):C(am)", tag = "factor:transform")
## aliased
add("mtcars", "mpg ~ wt + I(2 * wt)", tag = "aliased")
add("mtcars", "mpg ~ wt + hp + I(wt + hp) + qsec", tag = "aliased")
add("mtcars", "mpg ~ factor(cyl) * factor(gear)", "mpg ~ C(cyl) * C(gear)", tag = "aliased", note = "cell cyl=8, gear=4 is empty")
add("mtcars", "mpg ~ I(2 * wt) + wt * factor(am)", "mpg ~ I(2 * wt) + wt * C(am)", tag = "aliased")
add("warpbreaks", "breaks ~ wool:tension", tag = "aliased", note = "R codes wool:tension with full dummies of both next to the intercept, so one column is aliased; patsy gives a full rank coding of the same space")
## ToothGrowth / warpbreaks
add("ToothGrowth", "len ~ supp * dose", tag = "factor x numeric")
add("ToothGrowth", "len ~ supp * factor(dose)", "len ~ supp * C(dose)", tag = "factor x factor")
add("ToothGrowth", "len ~ supp / factor(dose)", "len ~ supp / C(dose)", tag = "nested factors")
add("ToothGrowth", "len ~ 0 + supp:factor(dose)", "len ~ 0 + supp:C(dose)", tag = "cell means")
add("ToothGrowth", "len ~ supp * poly(dose, 2)", tag = "poly:factor")
add("ToothGrowth", "len ~ C(supp, contr.sum) * C(factor(dose), contr.sum)", "len ~ C(supp, Sum) * C(dose, Sum)", tag = "sum contrasts")
add("ToothGrowth", "len ~ supp:log2(dose) + supp", tag = "factor:transform")
add("ToothGrowth", "len ~ supp:dose - 1", tag = "factor:numeric no intercept")
add("warpbreaks", "breaks ~ wool * tension", tag = "factor x factor")
add("warpbreaks", "log(breaks) ~ wool + tension", tag = "factor")
add("warpbreaks", "breaks ~ 0 + tension + wool", tag = "full dummies")
add("warpbreaks", "breaks ~ wool / tension", tag = "nested factors")
add("warpbreaks", "breaks ~ tension / wool - 1", tag = "nested factors, no intercept")
add("warpbreaks", "breaks ~ C(wool, contr.sum) * C(tension, contr.sum)", "breaks ~ C(wool, Sum) * C(tension, Sum)", tag = "sum contrasts")
add("warpbreaks", "breaks ~ wool * C(tension, contr.sum)", "breaks ~ wool * C(tension, Sum)", tag = "mixed contrasts")
add("warpbreaks", "breaks ~ wool * relevel(tension, ref = 'M')", "breaks ~ wool * C(tension, Treatment(reference='M'))", tag = "treatment reference")
add("warpbreaks", "breaks ~ wool + wool:tension - 1", tag = "cell means nested")
add("warpbreaks", "sqrt(breaks) ~ tension + tension:wool", tag = "nested spelled out")
## three-way factor
add("mtcars", "qsec ~ factor(am) * factor(vs) * factor(cyl)", "qsec ~ C(am) * C(vs) * C(cyl)", tag = "3-way factors, aliased", note = "several cells are empty")
add("mtcars", "disp ~ (factor(am) + factor(vs) + factor(gear))^2 + wt", "disp ~ (C(am) + C(vs) + C(gear))**2 + wt", tag = "power factors", note = "some cells are empty")
## one-way
add("chickwts", "weight ~ feed", tag = "one-way")
add("chickwts", "weight ~ feed - 1", tag = "full dummies")
add("chickwts", "log(weight) ~ C(feed, contr.sum)", "log(weight) ~ C(feed, Sum)", tag = "sum contrast")
add("chickwts", "weight ~ relevel(feed, ref = 'soybean')", "weight ~ C(feed, Treatment(reference='soybean'))", tag = "treatment reference")
add("InsectSprays", "sqrt(count) ~ spray", tag = "one-way, lhs transform")
add("InsectSprays", "log1p(count) ~ 0 + spray", tag = "full dummies, lhs transform")
add("PlantGrowth", "weight ~ group", tag = "one-way")
add("PlantGrowth", "weight ~ relevel(group, ref = 'trt1')", "weight ~ C(group, Treatment(reference='trt1'))", tag = "treatment reference")
## iris
add("iris", "Sepal.Length ~ Sepal.Width * Species", "`Sepal.Length` ~ `Sepal.Width` * Species", tag = "dotted names")
add("iris", "Sepal.Length ~ .", "`Sepal.Length` ~ .", tag = "dot with factor")
add("iris", "Petal.Width ~ . - 1", "`Petal.Width` ~ . - 1", tag = "dot, no intercept")
add("iris", "log(Petal.Length) ~ Species / Sepal.Width - 1", "log(`Petal.Length`) ~ Species / `Sepal.Width` - 1", tag = "nested numeric")
add("iris", "Petal.Length ~ poly(Sepal.Length, 2) * Species", "`Petal.Length` ~ poly(`Sepal.Length`, 2) * Species", tag = "poly:factor")
add("iris", "Petal.Length ~ ns(Sepal.Length, df = 3) * Species", "`Petal.Length` ~ ns(`Sepal.Length`, df=3) * Species", tag = "ns x factor")
add("iris", "Sepal.Width ~ bs(Petal.Length, df = 5) + Species", "`Sepal.Width` ~ bs(`Petal.Length`, df=5) + Species", tag = "bs + factor")
add("iris", "Sepal.Length ~ C(Species, contr.sum) * Petal.Width + I(Petal.Length^2)", "`Sepal.Length` ~ C(Species, Sum) * `Petal.Width` + I(`Petal.Length`**2)", tag = "sum contrast ancova")
add("iris", "Sepal.Length ~ (Sepal.Width + Petal.Length + Species)^2", "`Sepal.Length` ~ (`Sepal.Width` + `Petal.Length` + Species)**2", tag = "power")
add("iris", "Sepal.Width ~ Species + Species:ns(Sepal.Length, df = 3)", "`Sepal.Width` ~ Species + Species:ns(`Sepal.Length`, df=3)", tag = "ns:factor")
## polynomials and splines
add("cars", "dist ~ poly(speed, 3)", tag = "poly")
add("cars", "dist ~ poly(speed, 3, raw = TRUE)", "dist ~ poly(speed, 3, raw=True)", tag = "raw poly")
add("cars", "dist ~ 0 + speed + I(speed^2)", "dist ~ 0 + speed + I(speed**2)", tag = "no intercept")
add("cars", "sqrt(dist) ~ bs(speed, df = 5)", "sqrt(dist) ~ bs(speed, df=5)", tag = "bs")
add("cars", "dist ~ bs(speed, knots = c(10, 18))", "dist ~ bs(speed, knots=[10, 18])", tag = "bs knots")
add("cars", "dist ~ ns(speed, df = 3)", "dist ~ ns(speed, df=3)", new = list(speed = c(2, 12.5, 30)), tag = "ns", note = "new values lie outside the range too: linear extrapolation")
add("women", "weight ~ poly(height, 2)", tag = "poly")
add("women", "weight ~ bs(height, df = 5)", "weight ~ bs(height, df=5)", tag = "bs")
add("women", "weight ~ ns(height, knots = c(62, 68))", "weight ~ ns(height, knots=[62, 68])", new = list(height = c(55, 66.2, 75)), tag = "ns knots")
add("faithful", "waiting ~ bs(eruptions, df = 6, degree = 2)", "waiting ~ bs(eruptions, df=6, degree=2)", tag = "bs degree 2")
add("faithful", "waiting ~ ns(eruptions, df = 4)", "waiting ~ ns(eruptions, df=4)", new = list(eruptions = c(1, 3.3, 6)), tag = "ns")
add("faithful", "eruptions ~ 0 + bs(waiting, knots = c(60, 75))", "eruptions ~ 0 + bs(waiting, knots=[60, 75])", tag = "bs no intercept")
add("trees", "log(Volume) ~ log(Girth) + log(Height)", tag = "log-log")
add("trees", "Volume ~ poly(Girth, 2) + Height", tag = "poly")
add("trees", "Volume ~ poly(log(Girth), 2) * Height", tag = "poly of transform")
add("mtcars", "mpg ~ factor(am) * poly(hp, 2)", "mpg ~ C(am) * poly(hp, 2)", tag = "poly:factor")
add("mtcars", "mpg ~ factor(am):poly(hp, 2, raw = TRUE)", "mpg ~ C(am):poly(hp, 2, raw=True)", tag = "raw poly:factor without mains")
add("mtcars", "mpg ~ factor(vs) * ns(wt, df = 3)", "mpg ~ C(vs) * ns(wt, df=3)", tag = "ns x factor")
add("mtcars", "mpg ~ bs(wt, df = 4) * factor(am)", "mpg ~ bs(wt, df=4) * C(am)", tag = "bs x factor")
add("mtcars", "mpg ~ C(factor(am), contr.sum):bs(hp, knots = c(120, 200), degree = 2) + wt", "mpg ~ C(am, Sum):bs(hp, knots=[120, 200], degree=2) + wt", tag = "bs:factor without mains")
## offset
add("trees", "log(Volume) ~ log(Height) + offset(2 * log(Girth))", tag = "offset")
add("trees", "log(Volume) ~ 0 + log(Height) + offset(2 * log(Girth))", tag = "offset, no intercept")
add("mtcars", "mpg ~ factor(cyl) + offset(-3 * wt)", "mpg ~ C(cyl) + offset(-3 * wt)", tag = "offset + factor")
add("mtcars", "mpg ~ wt + offset(qsec)", tag = "offset")
add("mtcars", "mpg ~ wt + hp + offset(qsec) - 1", tag = "offset, no intercept")
add("attitude", "rating ~ ns(learning, df = 3) + offset(complaints)", "rating ~ ns(learning, df=3) + offset(complaints)", tag = "offset + ns")
add("cars", "dist ~ offset(speed)", tag = "offset, intercept only")
## NA data
add("airquality", "Ozone ~ Wind + Temp", tag = "NA rows")
add("airquality", "log(Ozone) ~ Solar.R + Wind * Temp", "log(Ozone) ~ `Solar.R` + Wind * Temp", tag = "NA rows")
add("airquality", "Ozone ~ factor(Month) + Temp", "Ozone ~ C(Month) + Temp", tag = "NA rows factor")
add("airquality", "Ozone ~ factor(Month) * Temp", "Ozone ~ C(Month) * Temp", tag = "NA rows factor")
add("airquality", "Ozone ~ .", tag = "NA rows, dot")
add("airquality", "sqrt(Ozone) ~ C(factor(Month), contr.sum) / Wind", "sqrt(Ozone) ~ C(Month, Sum) / Wind", tag = "NA rows, sum contrast nested")
add("airquality", "Wind ~ ns(Temp, df = 4) + factor(Month)", "Wind ~ ns(Temp, df=4) + C(Month)", tag = "no NA in the used columns")
add("airquality", "Wind ~ bs(Temp, knots = c(70, 85)) + poly(Day, 2)", "Wind ~ bs(Temp, knots=[70, 85]) + poly(Day, 2)", tag = "no NA in the used columns")
oz <- c("Ozone", "Temp", "Wind", "Month")
add("airquality", "Ozone ~ ns(Temp, df = 4) + poly(Wind, 2)", "Ozone ~ ns(Temp, df=4) + poly(Wind, 2)", omit = c("Ozone","Temp","Wind"), tag = "NA rows, bases")
add("airquality", "log(Ozone) ~ bs(Temp, df = 6, degree = 2) + Wind", "log(Ozone) ~ bs(Temp, df=6, degree=2) + Wind", omit = c("Ozone","Temp","Wind"), tag = "NA rows, bases")
add("airquality", "Ozone ~ poly(Temp, 2):factor(Month) + scale(Wind)", "Ozone ~ poly(Temp, 2):C(Month) + scale(Wind, ddof=1)", omit = oz, tag = "NA rows, bases")
add("airquality", "Ozone ~ poly(Solar.R, 3) + Wind", "Ozone ~ poly(`Solar.R`, 3) + Wind", omit = c("Ozone","Solar.R","Wind"), tag = "NA rows, bases")
## others
add("stackloss", "stack.loss ~ .", "`stack.loss` ~ .", tag = "dot, dotted names")
add("stackloss", "stack.loss ~ Air.Flow * Water.Temp", "`stack.loss` ~ `Air.Flow` * `Water.Temp`", tag = "dotted names")
add("swiss", "Fertility ~ .", tag = "dot")
add("swiss", "Fertility ~ . - Examination + I(Education^2)", "Fertility ~ . - Examination + I(Education**2)", tag = "dot minus")
add("swiss", "Fertility ~ ns(Education, df = 3) + log(Infant.Mortality)", "Fertility ~ ns(Education, df=3) + log(`Infant.Mortality`)", tag = "ns")
add("attitude", "rating ~ .", tag = "dot")
add("attitude", "rating ~ complaints + learning - 1", tag = "no intercept")
add("attitude", "rating ~ poly(complaints, 3) + scale(raises, scale = FALSE)", "rating ~ poly(complaints, 3) + center(raises)", tag = "poly center")
add("LifeCycleSavings", "sr ~ .", tag = "dot")
add("LifeCycleSavings", "sr ~ pop15 * log(dpi) + ddpi", tag = "interaction")
add("LifeCycleSavings", "sr ~ 0 + pop15 + pop75 + log10(dpi) + ddpi", tag = "no intercept")

## peculiar R behaviour, kept apart
ext("airquality", "Ozone ~ ns(Temp, df = 4)", "Ozone ~ ns(Temp, df=4)", tag = "basis on all rows", note = "R evaluates the basis on all 153 rows of Temp and drops the rows with NA in Ozone afterwards")
ext("airquality", "Ozone ~ poly(Temp, 2) + scale(Wind)", "Ozone ~ poly(Temp, 2) + scale(Wind, ddof=1)", tag = "basis on all rows", note = "R evaluates the bases on all 153 rows and drops the rows with NA in Ozone afterwards")
ext("cars", "dist ~ bs(speed, df = 4)", "dist ~ bs(speed, df=4)", new = list(speed = c(2, 12.5, 30)), tag = "bs outside range", note = "R warns and extrapolates the boundary polynomial")

top <- paste0('{"r_version": ', jstr(as.character(getRversion())), ', "r_version_string": ', jstr(R.version.string),
  ',\n"levels": ', js(levels_out),
  ',\n"cases": [\n', paste(vapply(cases, js, ""), collapse = ",\n"),
  '\n],\n"extra": [\n', paste(vapply(extra, js, ""), collapse = ",\n"), '\n]}\n')
cat(top, file = file.path(out_dir, "r_lm.json"))
cat("cases:", length(cases), "extra:", length(extra), "with predict:", sum(vapply(cases, function(z) !is.null(z$predict), NA)), "\n")

## ---- bases -------------------------------------------------------------------
x <- airquality$Temp; newin <- c(60, 75.5, 90); newout <- c(40, 110)
P <- poly(x, 3); B5 <- bs(x, df = 5); N4 <- ns(x, df = 4); B62 <- bs(x, df = 6, degree = 2)
mm <- function(m) matrix(as.numeric(m), nrow(m), ncol(m))
bse <- function(call, m, out = FALSE, sp = TRUE) {
  r <- list(call = S(call), matrix = mm(m), newx = newin, predict = mm(predict(m, newin)))
  if (out) { r$newx_outside <- newout; r$predict_outside <- mm(suppressWarnings(predict(m, newout))) }
  if (sp) { r$knots <- unname(attr(m, "knots")); r$boundary_knots <- attr(m, "Boundary.knots"); r$degree <- S(attr(m, "degree")); r$intercept <- S(attr(m, "intercept")) }
  else { r$degree <- attr(m, "degree"); r$coefs <- list(alpha = attr(m, "coefs")$alpha, norm2 = attr(m, "coefs")$norm2) }
  r }
bj <- list(x = x, bases = list(poly3 = bse("poly(x, 3)", P, TRUE, FALSE), bs_df5 = bse("bs(x, df=5)", B5, TRUE),
  ns_df4 = bse("ns(x, df=4)", N4, TRUE), bs_df6_deg2 = bse("bs(x, df=6, degree=2)", B62, TRUE)))
cat(paste0('{"r_version": ', jstr(as.character(getRversion())), ',\n', sub("^\\{", "", js(bj)), "\n"), file = file.path(out_dir, "r_basis.json"))
